//! Two machines on one network: who sees whom.

use super::plugged;
use crate::{
    cli::several::until_both,
    support::{host::Host, namespace::Bridge},
};

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_server_that_is_open_is_found_from_another_machine() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&["--lan"]);
    let created = office.create().exits(0);
    let listed = office.list().exits(0);
    assert!(listed.stdout.contains(created.stdout.trim()), "{listed:#?}");
    let expected = format!("10.77.0.1:{}", server.address.port());
    assert_eq!(office.reaches(), expected);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_a_server_that_was_not_opened_is_found_on_its_own_machine_alone() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let server = depot.serve(&[]);
    assert!(
        server.ready.contains("shippy serve --lan"),
        "{}",
        server.ready
    );
    office.finds_none().says(&["shippy serve --lan"]);
    depot.list().exits(0);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_of_two_registers_neither_is_taken_until_one_is_chosen() {
    let bridge = Bridge::new();
    let (north, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (south, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.3/24"]);
    let servers = [north.serve(&["--lan"]), south.serve(&["--lan"])];
    let picks = servers
        .each_ref()
        .map(|server| format!("--register {}", server.register));
    let addresses = ["10.77.0.1", "10.77.0.2"].map(|ip| format!("at {ip}:"));
    for args in [&["create", "consignment.json"][..], &["list"]] {
        // One that has heard one of them only creates in that.
        let ran = until_both(|| office.run(args), &mut String::new());
        ran.says(&[&picks[0], &picks[1], &addresses[0], &addresses[1]]);
    }
    let mut elsewhere = String::new();
    for server in &servers {
        let pick = ["--register", &server.register];
        let created = office
            .run(&[&["create", "consignment.json"], &pick[..]].concat())
            .exits(0);
        let listed = office.run(&[&["list"], &pick[..]].concat()).exits(0);
        let has = |id: &str| listed.stdout.contains(id);
        assert!(has(created.stdout.trim()), "{listed:#?}");
        assert!(!elsewhere.lines().any(has), "{elsewhere}: {listed:#?}");
        elsewhere.push_str(&created.stdout);
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_two_servers_of_one_copied_register_are_told_apart_from_replicas() {
    let bridge = Bridge::new();
    let (north, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (south, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.3/24"]);
    let store = |host: &Host| host.home.path().join("register.db");
    let url = |host: &Host| format!("sqlite:{}", store(host).display());
    assert!(north.serve(&["--store", &url(&north)]).stop().success());
    std::fs::copy(store(&north), store(&south)).unwrap();

    let original = north.serve(&["--lan", "--store", &url(&north)]);
    let copy = south.serve(&["--lan", "--store", &url(&south)]);
    assert_eq!(original.register, copy.register);
    let both = ["at 10.77.0.1:", "at 10.77.0.2:"];
    until_both(|| office.create(), &mut String::new())
        .says(&["its file was copied"])
        .says(&both);
    copy.kill();
    office.create().exits(0);
}
