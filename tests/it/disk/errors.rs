//! One of the calls that a server makes for its files fails, whichever it is: whoever asks is told, what was acknowledged
//! stays, and the next start finds the register in order.

use std::collections::BTreeMap;

use prost::Message as _;
use rustix::io::Errno;
use shippy::proto::Consignment;

use super::{
    Journal,
    contents::{Cut, Disk},
};
use crate::{
    kill::{Dice, answer, fresh, list},
    support::{Server, folder},
};

/// Creates that are tried beside the failure.
const CREATES: usize = 3;

#[tokio::test]
async fn whichever_call_for_its_files_fails_nothing_acknowledged_is_lost() {
    let journal = Journal::new();
    for error in [Errno::IO, Errno::NOSPC] {
        let mut ended_at_start = 0;
        for at in 1.. {
            match failing(&journal, error, at).await {
                Fault::None => {
                    eprintln!("{error}: {at} calls, {ended_at_start} of them at the start");
                    assert!(ended_at_start > 0 && at > ended_at_start + CREATES, "{at}");
                    break;
                }
                Fault::AtStart => ended_at_start += 1,
                Fault::Later => {}
            }
        }
    }
}

/// When the call was made that failed.
enum Fault {
    None,
    AtStart,
    Later,
}

/// A server's life with an `error` of the call with the number `at`, a power cut, and what is there then.
async fn failing(journal: &Journal, error: Errno, at: usize) -> Fault {
    let home = folder();
    let mut disk = Disk::of(home.path());
    let mut dice = Dice::new(at as u64);
    let mut serving = journal.serving(home.path());
    serving.env("DISK_FAIL_AT", at.to_string());
    serving.env("DISK_ERROR", error.raw_os_error().to_string());
    let mut acknowledged = BTreeMap::new();
    let started = Server::try_spawn(serving, home.path());
    let is_started = started.is_ok();
    match started {
        Ok(server) => {
            acknowledged = create(&server, &mut dice).await;
            let listed = list(&server, 0).await;
            assert!(listed.len() >= acknowledged.len(), "reads go on");
            server.kill();
        }
        Err(ended) => {
            let said = ended.exits(1).stderr;
            assert!(
                said.starts_with("shippy: ") && !said.contains("panicked"),
                "{said}"
            );
        }
    }
    disk.follow(&journal.read(), true);
    let failed = disk.failed;
    let left = folder();
    disk.leave(Cut::All, &mut dice, left.path());
    let server = Server::start(left.path());
    let mut stored = BTreeMap::new();
    for (before, listed) in list(&server, 0).await.into_iter().enumerate() {
        let consignment = Consignment::decode(listed).unwrap();
        assert_eq!(consignment.sequence, before as u64 + 1, "gapless");
        stored.insert(consignment.id, consignment.sequence);
    }
    for (id, sequence) in &acknowledged {
        assert_eq!(stored.get(id), Some(sequence), "{error}, call {at}");
    }
    match (failed, is_started) {
        (false, _) => Fault::None,
        (true, false) => Fault::AtStart,
        (true, true) => Fault::Later,
    }
}

/// Where each was stored of those that were acknowledged.
async fn create(server: &Server, dice: &mut Dice) -> BTreeMap<String, u64> {
    let mut client = server.connect().await;
    let mut acknowledged = BTreeMap::new();
    for _ in 0..CREATES {
        let created = client.create_consignment(fresh(dice));
        if let Ok(reply) = answer("an answer to a create", created).await {
            let stored = reply.into_inner().consignment.unwrap();
            acknowledged.insert(stored.id, stored.sequence);
        }
    }
    acknowledged
}
