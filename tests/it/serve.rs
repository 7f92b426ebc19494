//! One server's life, as those see it who start and stop it.

use shippy::proto::Consignment;

use crate::support::{Server, folder, run};

#[test]
fn what_was_created_is_listed_after_a_restart() {
    let home = folder();
    let server = Server::start(home.path());
    let register = server.register.clone();
    let created = run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    assert!(server.stop().success());

    let server = Server::start(home.path());
    assert_eq!(server.register, register);
    let listed = run(&mut server.ask(home.path(), &["list", "-o", "ndjson"])).exits(0);
    let listed: Consignment = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.id, created.stdout.trim());
    assert_eq!((listed.sequence, listed.weight), (1, 550));
}
