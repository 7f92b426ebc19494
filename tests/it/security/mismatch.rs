//! What is said when the two ends do not fit: which of them it is, and what to change; at once, as time changes nothing.

use std::path::Path;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::{Authority, Pair, list, serve};
use crate::{
    cli::{file, stored},
    running::run_to_end,
    support::{Server, eventually, folder, run, shippy},
};

fn serve_with(home: &Path, pair: &Pair, args: &[&str]) -> Server {
    serve(home, &[&pair.args()[..], args].concat())
}

/// Fails the test unless `list` with `args` says each of `said` and ends with `code`, in one line.
#[track_caller]
fn told(server: &Server, home: &Path, args: &[&str], code: i32, said: &[&str]) {
    let ran = run_to_end(&mut list(server, home, args)).exits(code);
    let ran = ran.says(said).says(&[&server.address.to_string()]);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
    assert_eq!(ran.stdout, "", "{ran:#?}");
}

#[test]
fn one_end_speaks_tls_and_the_other_does_not() {
    let (home, clear_home) = (folder(), folder());
    let authority = Authority::new(home.path(), "ca");
    let secure = serve_with(home.path(), &authority.server(home.path(), "shippy"), &[]);
    told(
        &secure,
        home.path(),
        &[],
        1,
        &["it speaks TLS", "--tls-ca FILE", "SHIPPY_TLS_CA"],
    );
    eventually("the server's word on it", || {
        secure
            .logged()
            .contains("it does not speak TLS")
            .then_some(())
    });
    let clear = serve(clear_home.path(), &[]);
    told(
        &clear,
        home.path(),
        &["--tls-ca", &authority.file],
        1,
        &[
            "it does not speak TLS",
            "leave --tls-ca",
            "--tls-cert and --tls-key",
        ],
    );
    // Nor does a single create or a load get further.
    let mut create = secure.ask(home.path(), &["create", "consignment.json"]);
    let ran = run_to_end(&mut create).exits(1).says(&["it speaks TLS"]);
    assert!(!ran.stderr.contains("--resume"), "{ran:#?}");
    let health = ["health", "--tls-ca", &authority.file];
    run_to_end(&mut clear.ask(home.path(), &health))
        .exits(1)
        .says(&["it does not speak TLS"]);
    assert!(stored(&clear, home.path()).is_empty());
}

#[test]
fn a_client_does_not_take_a_server_for_another() {
    let (home, elsewhere) = (folder(), folder());
    let authority = Authority::new(home.path(), "ca");
    let other = Authority::new(home.path(), "other");
    // As one that was made again.
    let same_name = Authority::new(elsewhere.path(), "ca").file;
    let server = serve_with(home.path(), &authority.server(home.path(), "shippy"), &[]);
    let trusting = |file: &str, args: &[&str]| {
        let args = [&["--tls-ca", file][..], args].concat();
        run_to_end(&mut list(&server, home.path(), &args))
    };
    trusting(&authority.file, &[]).exits(0);
    for wrong in [&other.file, &same_name] {
        told(
            &server,
            home.path(),
            &["--tls-ca", wrong],
            1,
            &["does not come from the authority in", wrong],
        );
    }
    told(
        &server,
        home.path(),
        &["--tls-ca", &authority.file, "--tls-server-name", "depot"],
        1,
        &["is for shippy, and not for depot", "--tls-server-name"],
    );
    let dated = |name: &str, from: i32, until: i32| {
        authority.certify(home.path(), name, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
        })
    };
    for (pair, said) in [
        (dated("old", 2001, 2002), ["expired", "days ago"]),
        (dated("early", 2901, 2902), ["valid only in", "clock"]),
    ] {
        let server = serve_with(home.path(), &pair, &[]);
        told(
            &server,
            home.path(),
            &["--tls-ca", &authority.file],
            1,
            &said,
        );
    }
    let client = authority.client(home.path(), "for.clients");
    let server = serve_with(home.path(), &client, &[]);
    let args = [
        "--tls-ca",
        &authority.file,
        "--tls-server-name",
        "for.clients",
    ];
    told(
        &server,
        home.path(),
        &args,
        1,
        &["its certificate is not good"],
    );
}

#[test]
fn a_server_does_not_take_any_client() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let other = Authority::new(home.path(), "other");
    let server = authority.server(home.path(), "shippy");
    let server = serve_with(home.path(), &server, &["--tls-client-ca", &authority.file]);
    let showing = |pair: Option<&Pair>| {
        let mut args = vec!["--tls-ca", authority.file.as_str()];
        args.extend(pair.iter().flat_map(|pair| pair.args()));
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let good = authority.client(home.path(), "crane");
    run(list(&server, home.path(), &[]).args(showing(Some(&good)))).exits(0);
    let expired = authority.certify(home.path(), "expired", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    for (pair, said, logged) in [
        (
            None,
            "it asks for a client certificate: give one with --tls-cert",
            "showed no certificate",
        ),
        (
            Some(other.client(home.path(), "stranger")),
            "whose authority is none of those in its --tls-client-ca",
            "none of the authorities in --tls-client-ca",
        ),
        (Some(expired), "which has expired", "certificate expired"),
        (
            Some(authority.server(home.path(), "depot")),
            "which is not one for clients",
            "extended key usage",
        ),
    ] {
        let args = showing(pair.as_ref());
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        told(
            &server,
            home.path(),
            &args,
            4,
            &["turned this client away", said],
        );
        eventually("the server's word on it", || {
            server.logged().contains(logged).then_some(())
        });
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_nothing_is_called() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let one = authority.client(home.path(), "one");
    let two = authority.client(home.path(), "two");
    let empty = file(home.path(), "empty.pem", "");
    let nowhere = home.path().join("nowhere.pem").display().to_string();
    let list = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(["list", "--server", "127.0.0.1:1"]).args(args);
        run_to_end(&mut command)
    };
    let serve = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(["serve", "--store", "memory:"]).args(args);
        run_to_end(&mut command)
    };
    let ca = ["--tls-ca", &authority.file];
    for (certificate, key, said) in [
        (&one.certificate, &two.key, [&*two.key, "made together"]),
        (&one.certificate, &nowhere, [&*nowhere, "No such file"]),
        (&nowhere, &one.key, [&*nowhere, "No such file"]),
        (&one.key, &one.key, [&*one.key, "no certificate in PEM"]),
        (
            &one.certificate,
            &one.certificate,
            [&*one.certificate, "but a certificate"],
        ),
        (&empty, &one.key, [&*empty, "no certificate in PEM"]),
    ] {
        let pair = ["--tls-cert", certificate, "--tls-key", key];
        list(&[&ca[..], &pair].concat()).exits(2).says(&said);
        serve(&pair).exits(2).says(&said);
    }
    for file in [&empty, &nowhere] {
        list(&["--tls-ca", file]).exits(2).says(&[file]);
        let pair = [&one.args()[..], &["--tls-client-ca", file]].concat();
        serve(&pair).exits(2).says(&[file]);
    }
    // What belongs together.
    list(&one.args()).exits(2).says(&["--tls-ca"]);
    list(&["--tls-server-name", "x"])
        .exits(2)
        .says(&["--tls-ca"]);
    list(&[&ca[..], &["--tls-server-name", "a b"]].concat())
        .exits(2)
        .says(&["name of a host"]);
    serve(&one.args()[..2]).exits(2).says(&["--tls-key"]);
    serve(&["--tls-client-ca", &authority.file])
        .exits(2)
        .says(&["--tls-cert"]);
}

#[test]
fn of_several_servers_one_that_does_not_fit_is_passed_over() {
    let (home, clear_home) = (folder(), folder());
    let authority = Authority::new(home.path(), "ca");
    let secure = serve_with(home.path(), &authority.server(home.path(), "shippy"), &[]);
    let clear = serve(clear_home.path(), &[]);
    for (first, second) in [(&clear, &secure), (&secure, &clear)] {
        let mut command = list(first, home.path(), &["--tls-ca", &authority.file]);
        command.args(["--server", &second.address.to_string()]);
        run_to_end(&mut command).exits(0);
    }
}
