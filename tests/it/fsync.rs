//! Created means on disk: the order of the server's system calls says so, as strace sees it.

use std::{fs, path::Path};

use futures_util::{future::join_all, stream};
use prost::Message as _;
use shippy::{
    consignment::new_id,
    proto::{Consignment, CreateChunk, ListRequest},
};
use tonic::Code;

use crate::{
    support::{Server, answer::get, eventually, folder, own_name, run, shippy},
    wrapped::wrapped,
};

mod trace;

use trace::{Call, calls, too_early};

/// What a checker needs to see: who writes what to which file or socket, and which file is synced. With `?` strace takes
/// a name that the processor's Linux does not have: arm64's has `mkdirat` alone.
const TRACED: &str =
    "trace=fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,pwritev,?mkdir,mkdirat";
/// Longer than a page of SQLite, so that nothing of it is left out.
const TEXT: &str = "20000";
const PER_CLIENT: usize = 12;

/// A server under strace, which writes to `trace`; a new register in folders that are not there yet.
fn traced(home: &Path, trace: &Path) -> Server {
    let to = trace.to_str().unwrap();
    let strace = [
        "strace", "-D", "-f", "-yy", "-s", TEXT, "-e", TRACED, "-o", to,
    ];
    Server::start_with(home, |command| {
        let register = home.join("new/folders/register.db");
        let mut serve = shippy(home);
        serve.args(["serve", "--name", &own_name(), "--store"]);
        serve.arg(format!("sqlite:{}", register.display()));
        *command = wrapped(&strace, &serve);
    })
}

async fn create_some(server: &Server) -> Vec<String> {
    let mut client = server.connect().await;
    let mut ids = Vec::new();
    for _ in 0..PER_CLIENT {
        let id = new_id();
        let consignment = Consignment {
            id: id.clone(),
            ..Consignment::default()
        };
        client.create_consignment(consignment).await.unwrap();
        ids.push(id);
    }
    ids
}

/// A bulk load of consignments without ids, a chunk for each, so that the outcomes name them.
async fn load_some(server: &Server) -> Vec<String> {
    let chunk = CreateChunk {
        consignments: vec![Consignment::default().encode_to_vec().into()],
    };
    let chunks = stream::iter(vec![chunk; PER_CLIENT]);
    let reply = server.connect().await.create_consignments(chunks).await;
    let mut answers = reply.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        ids.extend(answer.outcomes.into_iter().map(|outcome| outcome.id));
    }
    ids
}

/// A trace of a server's whole life, and the ids of what was created in it.
async fn life() -> (String, Vec<String>) {
    let home = folder();
    let path = home.path().join("trace");
    let server = traced(home.path(), &path);
    let mut ids = load_some(&server).await;
    let clients = (0..8).map(|_| create_some(&server));
    ids.extend(join_all(clients).await.into_iter().flatten());
    ids.extend(load_some(&server).await);
    let pid = server.pid().as_raw_nonzero().to_string();
    assert!(server.stop().success());
    let is_end = |line: &str| line.starts_with(&pid) && line.ends_with("+++ exited with 0 +++");
    let trace = eventually("the end of the trace", || {
        let trace = fs::read_to_string(&path).ok()?;
        trace.lines().any(is_end).then_some(trace)
    });
    (trace, ids)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn no_create_is_answered_before_the_log_that_holds_it_is_synced() {
    let (trace, ids) = life().await;
    assert_eq!(ids.len(), 10 * PER_CLIENT);
    assert_eq!(too_early(&trace, &ids), Vec::<String>::new());
    // This is what a server leaves that does not sync.
    let unsynced = trace::without_syncs(&trace);
    assert_eq!(too_early(&unsynced, &ids).len(), ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn a_new_registers_folders_are_synced_before_it_is_ready() {
    let (trace, _) = life().await;
    let calls = calls(&trace);
    let at = |what: &str, is: &dyn Fn(&Call) -> bool| {
        let found = calls.iter().position(is);
        found.unwrap_or_else(|| panic!("{what} is not in the trace"))
    };
    let ready = at("the ready line", &|call| {
        call.text.contains("shippy serves")
    });
    let synced = |end: &str| at(end, &|call| call.is_sync() && call.path().ends_with(end));
    let made = |end: &str| {
        at(end, &|call| {
            call.name.starts_with("mkdir") && call.text.contains(end)
        })
    };
    assert!(made("/new\"") < made("/new/folders\""));
    for folder in ["/new", "/new/folders", "/register.db", "/register.db-wal"] {
        assert!(synced(folder) < ready, "{folder}");
    }
    // The folder that stood before has a new entry as well.
    let above = calls[made("/new\"")..ready]
        .iter()
        .filter(|call| call.is_sync());
    let above: Vec<_> = above.map(Call::path).collect();
    assert!(
        trace.contains(&format!("\"{}/new\"", above[0])),
        "{above:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn what_a_killed_server_wrote_is_synced_before_it_is_answered_for() {
    let home = folder();
    let path = home.path().join("trace");
    let killed = traced(home.path(), &home.path().join("first-trace"));
    let ids = create_some(&killed).await;
    killed.kill();

    let server = traced(home.path(), &path);
    let mut client = server.connect().await;
    let again = Consignment {
        id: ids[0].clone(),
        ..Consignment::default()
    };
    let reply = client.create_consignment(again).await.unwrap();
    assert!(!reply.into_inner().created);
    let trace = eventually("the reply in the trace", || {
        let trace = fs::read_to_string(&path).ok()?;
        trace::has_reply(&trace, &ids[0]).then_some(trace)
    });
    let is_log = |path: &str| path.ends_with("/register.db-wal");
    assert!(trace::is_synced_before_reply(&trace, &ids[0], is_log));
    let unsynced = trace::without_syncs(&trace);
    assert!(!trace::is_synced_before_reply(&unsynced, &ids[0], is_log));
}

/// strace's way of letting each thread's sixth sync and all later ones fail. The writer's first commit takes three:
/// the log's head, its folder and the commit.
const FAIL_SYNCS: &str = "inject=fsync,fdatasync:error=EIO:when=6+";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn after_a_sync_that_failed_nothing_is_written_until_the_next_start() {
    let home = folder();
    assert!(Server::start(home.path()).stop().success());
    let strace = ["strace", "-D", "-f", "-e", FAIL_SYNCS, "-o", "/dev/null"];
    let server = Server::start_with(home.path(), |command| {
        *command = wrapped(&strace, command);
    });
    let mut client = server.connect().await;
    let mut create = async |id: &str| {
        let id = id.to_owned();
        let consignment = Consignment {
            id,
            ..Consignment::default()
        };
        client.create_consignment(consignment).await
    };
    for id in ["one", "two", "three"] {
        create(id).await.unwrap();
    }
    for id in ["four", "five"] {
        let refused = create(id).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        assert!(refused.message().contains("start it again"), "{refused}");
    }
    assert_eq!(listed(&server).await, 3);
    let health = run(&mut server.ask(home.path(), &["health"]));
    assert_ne!(health.code, Some(0), "{health:?}");
    get(server.address, "/readyz", &[]).is(503);
    get(server.address, "/healthz", &[]).is(200);
    server.kill();
    let server = Server::start(home.path());
    assert!(listed(&server).await >= 3);
    run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
}

async fn listed(server: &Server) -> usize {
    let mut client = server.connect().await;
    let chunks = client.list_consignments(ListRequest::default()).await;
    let mut chunks = chunks.unwrap().into_inner();
    let mut listed = 0;
    while let Some(chunk) = chunks.message().await.unwrap() {
        listed += chunk.consignments.len();
    }
    listed
}
