//! TLS where servers are found by themselves.

use super::Authority;
use crate::{
    cli::serve_with,
    running::run_to_end,
    support::{folder, own_name, shippy},
};

#[test]
fn a_server_that_is_found_is_known_to_speak_tls() {
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
}

#[test]
fn a_server_that_is_announced_without_tls_is_not_spoken_to_in_clear_by_who_wants_tls() {
    let home = folder();
    let name = own_name();
    let authority = Authority::new(home.path(), "ca");
    let server = serve_with(home.path(), &name, &[]);
    let mut command = shippy(home.path());
    command.args(["create", "consignment.json", "--name", &name]);
    run_to_end(command.args(["--tls-ca", &authority.file, "--timeout", "10m"]))
        .exits(1)
        .says(&["it does not speak TLS"]);
    assert!(crate::cli::stored(&server, home.path()).is_empty());
}
