//! Pages of other sites in a browser that reaches the server: they neither write nor read.

use super::{CONSIGNMENTS, JSON};
use crate::{
    cli::stored,
    support::{
        Server,
        answer::{get, send},
        folder, run, shippy,
    },
};

#[test]
fn another_sites_page_cannot_write() {
    let home = folder();
    let server = Server::start(home.path());
    let own = format!("Origin: http://{}", server.address);
    for headers in [
        &["Origin: https://evil.example"][..],
        &["Origin: null"],
        &["Origin: http://localhost:1"],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: cross-site", &own],
        &[
            "Origin: https://evil.example",
            "Sec-Fetch-Site: same-origin",
        ],
    ] {
        let headers = [headers, &[JSON]].concat();
        let refused = send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(403);
        let (code, fields) = refused.refusal();
        assert_eq!(code, "PERMISSION_DENIED");
        assert!(
            ["Origin", "Sec-Fetch-Site"].contains(&&*fields[0]),
            "{headers:?}"
        );
    }
    assert!(stored(&server, home.path()).is_empty());
    let same = [&*own, "Sec-Fetch-Site: same-origin", JSON];
    send(server.address, "POST", CONSIGNMENTS, &same, "{}").is(201);
}

#[test]
fn what_a_browser_sends_without_asking_is_not_taken() {
    let home = folder();
    let server = Server::start(home.path());
    // The types that a page may send anywhere unasked (Fetch, "CORS-safelisted request-header").
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let kind = format!("Content-Type: {kind}");
        send(server.address, "POST", CONSIGNMENTS, &[&kind], "{}").is(415);
    }
    // For the others it asks, and is not allowed.
    let asking = [
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type",
    ];
    let answers = [
        send(server.address, "OPTIONS", CONSIGNMENTS, &asking, "").is(405),
        get(server.address, CONSIGNMENTS, &asking).is(200),
        get(server.address, "/nowhere", &asking).is(404),
    ];
    for answer in answers {
        let is_cors = |name: &str| name.starts_with("access-control-");
        assert!(
            !answer.headers.iter().any(|(name, _)| is_cors(name)),
            "{answer:?}"
        );
        let policy = answer.header("cross-origin-resource-policy");
        assert_eq!(policy, Some("same-origin"));
    }
    assert!(stored(&server, home.path()).is_empty());
}

/// DNS rebinding: the page's own name comes to mean this server's address.
#[test]
fn a_name_that_is_not_the_servers_is_turned_away_with_the_setting() {
    let home = folder();
    let server = Server::start_with(home.path(), |command| {
        command.args([
            "--advertise",
            "quay.example:0",
            "--http-host",
            "depot.example",
        ]);
        command.args(["--http-host", "Register.Internal"]);
    });
    let port = server.address.port();
    for path in [CONSIGNMENTS, "/healthz", "/readyz", "/nowhere"] {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
        ] {
            let host = format!("Host: {host}:{port}");
            let refused = get(server.address, path, &[&host]).is(421);
            assert!(refused.body.contains("--http-host"), "{refused:?}");
        }
    }
    let host = format!("Host: evil.example:{port}");
    let own = format!("Origin: http://evil.example:{port}");
    let headers = [&*host, &*own, "Sec-Fetch-Site: same-origin", JSON];
    send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(421);
    assert!(stored(&server, home.path()).is_empty());
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "192.168.1.7:80",
        "depot.example",
        "register.internal:443",
        "quay.example",
    ] {
        get(server.address, "/healthz", &[&format!("Host: {host}")]).is(200);
    }
    let absolute = format!("http://evil.example:{port}/healthz");
    get(server.address, &absolute, &["Host: localhost"]).is(421);
    get(server.address, "/healthz", &["Host: a", "Host: localhost"]).is(400);
}

#[test]
fn a_name_that_cannot_be_one_is_told() {
    let home = folder();
    for name in ["http://depot", "depot:80", "depot/x", "a b"] {
        let mut command = shippy(home.path());
        command.args(["serve", "--store", "memory:", "--http-host", name]);
        run(&mut command).exits(2).says(&["--http-host"]);
    }
}
