//! What `shippy discover --explain` says on any machine; `network::explained` has networks on which something is amiss.

use serde_json::Value;

use super::{discover, json};
use crate::{
    cli::serve,
    support::{eventually, folder, free_address, own_name, run, shippy},
};

#[test]
fn a_server_that_is_found_is_no_trouble_and_the_machine_is_described() {
    let home = folder();
    let name = own_name();
    let server = serve(home.path(), &name);
    let report = eventually("found", || {
        let args = ["--explain", "-o", "json", "--name", &name];
        let report = json(&run(&mut discover(home.path(), &args)));
        // Which of both depends on whether this machine has a network.
        let is_found = ["found", "loopback_alone"]
            .iter()
            .any(|cause| report["cause"] == *cause);
        is_found.then_some(report)
    });
    let place = server.address.to_string();
    assert!(
        report["conclusion"].as_str().unwrap().contains(&place),
        "{report}"
    );
    let interfaces = report["interfaces"].as_array().unwrap();
    let lo = &interfaces[0];
    assert_eq!(
        (&lo["name"], &lo["kind"]),
        (&"lo".into(), &"loopback".into()),
        "{report}"
    );
    assert_eq!(lo["multicast"][0]["heard_itself"], true, "{report}");
    assert_eq!(lo["multicast"][0]["answered"][0], "127.0.0.1", "{report}");
    for field in ["port_5353", "container", "firewall", "command", "asked"] {
        assert!(report[field].is_string(), "{field}: {report}");
    }
}

#[test]
fn a_name_that_nobody_has_is_told_with_one_that_somebody_has() {
    let home = folder();
    let (name, nobody) = (own_name(), own_name());
    let _server = serve(home.path(), &name);
    eventually("another name", || {
        let args = ["--explain", "-o", "ndjson", "--name", &nobody];
        let report = json(&run(&mut discover(home.path(), &args)));
        let command = report["command"].as_str().unwrap();
        (report["cause"] == "another_name" && command.starts_with("shippy list --name "))
            .then_some(())
    });
}

#[test]
fn a_registry_that_is_away_is_the_cause_and_a_named_server_needs_none() {
    let home = folder();
    let nobody = free_address();
    for registry in ["etcd", "consul"] {
        let args = [
            "--explain",
            "--for",
            "3s",
            "--registry",
            registry,
            "--registry-address",
            &nobody,
        ];
        let ran = run(&mut discover(home.path(), &args)).exits(3);
        assert!(
            ran.stdout
                .contains("Conclusion: the registry cannot be asked"),
            "{ran:#?}"
        );
        assert!(ran.stdout.contains(&nobody), "{ran:#?}");
        assert!(!ran.stdout.contains("Interfaces:"), "{ran:#?}");
    }
    let server = serve(home.path(), &own_name());
    let place = server.address.to_string();
    let args = ["--explain", "-o", "json", "--server", &place];
    let report = json(&run(&mut discover(home.path(), &args)).exits(0));
    assert_eq!(
        (&report["cause"], &report["interfaces"]),
        (&"found".into(), &Value::Null)
    );
    assert_eq!(report["command"], format!("shippy list --server {place}"));
}

#[test]
fn who_finds_no_server_is_sent_there() {
    let home = folder();
    let mut list = shippy(home.path());
    list.args(["list", "--name", &own_name(), "--timeout", "500ms"]);
    run(&mut list).exits(3).says(&["shippy discover --explain"]);
    let mut both = discover(home.path(), &["--watch", "--explain"]);
    run(&mut both).exits(2).says(&["--explain"]);
}
