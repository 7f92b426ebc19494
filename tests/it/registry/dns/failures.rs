//! What a client is told when DNS does not help it.

use std::path::Path;

use super::{HOST, NAME, SERVICE, dns, look_up};
use crate::{
    running::run_to_end,
    support::{
        Ran,
        dns::{Dns, Says, address, srv},
        folder, shippy,
    },
};

/// `shippy list`, which finds nothing; it has `timeout`.
fn misses(home: &Path, dns: &Dns, name: &str, timeout: &str) -> Ran {
    let ran = look_up(home, &dns.place(name), &["list", "--timeout", timeout]);
    ran.exits(3)
        .says(&["no server found", "--server HOST:PORT"])
}

#[test]
fn a_name_without_servers_is_told_with_what_was_asked() {
    let (dns, home) = (dns(), folder());
    let gone = misses(home.path(), &dns, "gone.test", "1s");
    gone.says(&[
        "gone.test does not exist",
        "SRV _shippy._tcp.gone.test and A, AAAA gone.test",
        &dns.address.to_string(),
        "--registry-address NAME",
        "dns://SERVER/NAME",
    ]);
    dns.set("bare.test", &[]);
    let bare = misses(home.path(), &dns, "bare.test", "1s");
    bare.says(&["bare.test exists, but has neither SRV records nor addresses"]);
    let bare = misses(home.path(), &dns, "bare.test:7", "1s");
    bare.says(&["bare.test exists, but has no addresses"]);
    dns.set(SERVICE, &[srv(0, 1, "gone.test")]);
    let lost = misses(home.path(), &dns, NAME, "1s");
    lost.says(&["gone.test, which an SRV record names, has no address"]);
}

#[test]
fn a_service_that_is_declared_not_to_be_there_is_not_looked_for_elsewhere() {
    let (dns, home) = (dns(), folder());
    dns.set(SERVICE, &[srv(0, 0, ".")]);
    dns.set(NAME, &[address("127.0.0.1")]);
    let ran = misses(home.path(), &dns, NAME, "1s");
    ran.says(&["says that there is no such service"]);
}

#[test]
fn a_dns_server_that_fails_is_named_with_what_it_said() {
    let (dns, home) = (dns(), folder());
    for name in [SERVICE, NAME] {
        dns.say(name, Says::Failure);
    }
    let ran = misses(home.path(), &dns, NAME, "2s");
    let place = format!("could not reach the DNS server {}", dns.address);
    ran.says(&[&place, "Server Failure", "dns://SERVER/NAME"]);
}

#[test]
fn a_dns_server_that_is_silent_is_named() {
    let (dns, home) = (dns(), folder());
    for name in [SERVICE, NAME] {
        dns.say(name, Says::Nothing);
    }
    let ran = misses(home.path(), &dns, NAME, "6s");
    let place = format!("could not reach the DNS server {}", dns.address);
    ran.says(&[&place, "it does not answer", "dns://SERVER/NAME"]);
}

#[test]
fn a_server_that_does_not_answer_is_named_by_its_address() {
    let (dns, home) = (dns(), folder());
    // Port 1 is nobody's.
    dns.set(SERVICE, &[srv(0, 1, HOST)]);
    let ran = look_up(home.path(), &dns.place(NAME), &["list", "--timeout", "1s"]);
    ran.exits(3).says(&["no server answered", "127.0.0.1:1"]);
}

#[test]
fn what_cannot_be_looked_up_is_refused_before_it_is() {
    let home = folder();
    let dns = ["--registry", "dns"];
    for (command, address, said) in [
        ("list", None, "--registry-address NAME"),
        ("list", Some(""), "--registry-address NAME"),
        ("list", Some("192.0.2.7:50051"), "--server HOST:PORT"),
        ("serve", Some("dns://ns.test/depot"), "not an IP address"),
        ("create", Some("etcd://depot"), "dns://SERVER/NAME"),
    ] {
        let mut refused = shippy(home.path());
        refused.arg(command).args(dns);
        if command == "create" {
            refused.arg("consignment.json");
        }
        if let Some(address) = address {
            refused.env("MICRO_REGISTRY_ADDRESS", address);
        }
        run_to_end(&mut refused).exits(2).says(&[said]);
    }
}
