//! `--resume`: what it asks, what it refuses, and what it leaves out.

use super::{MORE_THAN_FITS, Stalled, batch_of, has_each_once, in_batch, own_batch, weighed};
use crate::{
    cli::{file, stored},
    support::{Server, folder, run},
};

#[test]
fn a_client_that_was_killed_is_gone_on_with_by_the_batch_of_its_ids() {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let mut stalled = Stalled::start(&mut server.ask(home.path(), &["create", &path]));
    stalled.running.child.kill().unwrap();
    stalled.running.child.wait().unwrap();
    let batch = &batch_of(&stalled.first);
    assert!(stored(&server, home.path()).len() < MORE_THAN_FITS);
    run(&mut server.ask(home.path(), &["create", "--resume", batch, &path])).exits(0);
    has_each_once(&server, home.path(), MORE_THAN_FITS);
}

#[test]
fn what_is_stored_for_certain_is_not_sent_again() {
    let home = folder();
    let server = Server::start(home.path());
    let batch = own_batch();
    let path = file(home.path(), "in.ndjson", weighed(10_000));
    let mut create = server.ask(home.path(), &["create", "--resume", &batch, &path]);
    let ran = run(&mut create).exits(0);
    let ran = ran.says(&[
        &format!("nothing of batch {batch} is stored: beginning at the beginning"),
        "10,000 created, 0 already there",
    ]);
    assert_eq!(
        stored(&server, home.path()),
        ran.stdout.lines().collect::<Vec<_>>()
    );
    // As many as may be under way when a connection breaks: 16 chunks of 256.
    let again = run(&mut create).exits(0).says(&[
        "going on after 5,904 of 10,000 records",
        "0 created, 4,096 already there, 0 refused",
        "5,904 were stored before",
    ]);
    assert!(ran.stdout.ends_with(&again.stdout));
    has_each_once(&server, home.path(), 10_000);
}

#[test]
fn a_file_that_has_grown_is_gone_on_with() {
    let home = folder();
    let server = Server::start(home.path());
    let batch = own_batch();
    for count in [1, 7, 6_000] {
        let path = file(home.path(), "in.ndjson", weighed(count));
        run(&mut server.ask(home.path(), &["create", "--resume", &batch, &path])).exits(0);
        has_each_once(&server, home.path(), count);
    }
}

#[test]
fn records_with_and_without_ids_go_together() {
    let home = folder();
    let server = Server::start(home.path());
    let batch = own_batch();
    let mixed = |from: usize, to: usize| {
        let line = |number: usize| match number % 3 {
            0 => format!("{{\"id\":\"own-{number}\",\"weight\":{number}}}\n"),
            _ => format!("{{\"weight\":{number}}}\n"),
        };
        (from..=to).map(line).collect::<String>()
    };
    for count in [8_000, 9_999] {
        let path = file(home.path(), "in.ndjson", mixed(1, count));
        run(&mut server.ask(home.path(), &["create", "--resume", &batch, &path])).exits(0);
        has_each_once(&server, home.path(), count);
    }
    let ids = stored(&server, home.path());
    assert_eq!(
        ids[0..3],
        [in_batch(&batch, 1), in_batch(&batch, 2), "own-3".into()]
    );
    assert_eq!(ids[9_997], in_batch(&batch, 6_666));
}

#[test]
fn another_file_than_the_batch_began_with_is_refused_and_nothing_is_sent() {
    let home = folder();
    let server = Server::start(home.path());
    let batch = own_batch();
    let create = |contents: String| {
        let path = file(home.path(), "in.ndjson", contents);
        run(&mut server.ask(home.path(), &["create", "--resume", &batch, &path]))
    };
    create(weighed(10)).exits(0);
    let longer = |text: String| text + weighed(20).as_str();
    for (contents, said) in [
        (
            longer(weighed(9) + "{\"weight\":99}\n"),
            "in.ndjson:10 differs from what is stored",
        ),
        (weighed(9), "more records are stored than this holds"),
        ("{}\n".to_owned(), "more records are stored than this holds"),
        (
            longer("{\"weight\":5}\n".to_owned()),
            "in.ndjson:10 differs",
        ),
    ] {
        let ran = create(contents).exits(2);
        let ran = ran.says(&["is not what batch", &batch, said, "nothing was sent"]);
        assert_eq!(ran.stdout, "");
    }
    has_each_once(&server, home.path(), 10);
}

#[test]
fn a_batch_of_records_with_ids_is_sent_whole() {
    let home = folder();
    let server = Server::start(home.path());
    let batch = own_batch();
    let path = file(home.path(), "in.ndjson", "{\"id\":\"a\"}\n{\"id\":\"b\"}\n");
    for said in ["2 created", "2 already there"] {
        run(&mut server.ask(home.path(), &["create", "--resume", &batch, &path]))
            .exits(0)
            .says(&["an id of its own", said]);
    }
    assert_eq!(stored(&server, home.path()), ["a", "b"]);
}

#[test]
fn what_is_no_batch_is_refused() {
    let home = folder();
    for text in ["", "7", "tea-1"] {
        let args = ["--resume", text, "consignment.json"];
        run(&mut super::create_alone(home.path(), &args))
            .exits(2)
            .says(&["--resume"]);
    }
}
