//! What a server says of its protection, to its operator and to those who find it.

use futures_util::StreamExt as _;
use shippy::registry::{Registry as _, mdns::Mdns};
use tokio::time::timeout;

use super::Authority;
use crate::{
    cli::{file, serve_with, stored},
    running::run_to_end,
    support::{SOON, folder, own_name, shippy},
};

/// Whether the server of the service `name` is announced with TLS.
async fn is_announced_with_tls(name: &str) -> bool {
    let mut found = Mdns::new().find(name);
    let first = timeout(SOON, found.next()).await.expect("a server");
    first.expect("a search does not end").unwrap().tls
}

#[tokio::test]
async fn a_server_that_is_found_is_known_to_speak_tls() {
    let home = folder();
    let name = own_name();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let _server = serve_with(home.path(), &name, &pair.args());
    let list = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(["list", "--name", &name, "--timeout", "10m"]);
        run_to_end(command.args(args))
    };
    list(&[]).exits(1).says(&["it speaks TLS", "--tls-ca FILE"]);
    list(&["--tls-ca", &authority.file]).exits(0);
    assert!(is_announced_with_tls(&name).await);
}

#[tokio::test]
async fn a_server_that_is_announced_without_tls_is_not_spoken_to_in_clear_by_who_wants_tls() {
    let home = folder();
    let name = own_name();
    let authority = Authority::new(home.path(), "ca");
    let server = serve_with(home.path(), &name, &[]);
    let mut command = shippy(home.path());
    command.args(["create", "consignment.json", "--name", &name]);
    run_to_end(command.args(["--tls-ca", &authority.file, "--timeout", "10m"]))
        .exits(1)
        .says(&["it does not speak TLS"]);
    assert!(stored(&server, home.path()).is_empty());
    assert!(!is_announced_with_tls(&name).await);
}

#[test]
fn an_open_server_warns_of_what_its_protection_leaves_open() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let tokens = file(home.path(), "tokens", "crane write\n");
    let (tls, tokens) = (pair.args(), ["--tokens", &*tokens]);
    let certificates = ["--tls-client-ca", &*authority.file];
    for (args, said) in [
        (vec![], Some("neither TLS nor tokens")),
        (vec![&tls[..]], Some("TLS alone keeps nobody out")),
        (vec![&tokens[..]], Some("tokens included: there is no TLS")),
        (vec![&tls[..], &tokens], None),
        (vec![&tls[..], &certificates], None),
    ] {
        let args = [&["--lan"][..], &args.concat()].concat();
        let server_home = folder();
        let server = super::serve(server_home.path(), &args);
        let log = server.logged();
        let count = usize::from(said.is_some());
        assert_eq!(log.matches("anyone who reaches").count(), count, "{log}");
        assert!(said.is_none_or(|said| log.contains(said)), "{log}");
    }
}
