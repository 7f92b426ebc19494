//! Tokens that browsers keep in cookies.

use std::path::Path;

use tonic::{Code, Request, metadata::MetadataValue};

use crate::{
    cli::file,
    security::{Authority, serve, token},
    support::{
        Server,
        answer::{Answer, get, send, send_by_tls},
        folder,
    },
};

const CONSIGNMENTS: &str = "/v1/consignments";
const JSON: &str = "Content-Type: application/json";

/// A server that knows `desk`, who may read, and `crane`, who may write; their tokens.
fn guarded(home: &Path, args: &[&str]) -> (Server, String, String) {
    let (desk, first) = token(home, "desk", "read");
    let (crane, second) = token(home, "crane", "write");
    let tokens = file(home, "tokens", format!("{first}\n{second}\n"));
    let mut all = vec!["--tokens", &tokens];
    all.extend(args);
    (serve(home, &all), desk, crane)
}

fn sign_in(server: &Server, token: &str, headers: &[&str]) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    let mut all = vec![&*bearer];
    all.extend(headers);
    send(server.address, "POST", "/session", &all, "")
}

/// The cookie that an answer sets, as the header that sends it; what else is said of it.
fn cookie(answer: &Answer) -> (String, Vec<String>) {
    let mut parts = answer.header("set-cookie").unwrap().split("; ");
    let cookie = format!("Cookie: other=1; {}", parts.next().unwrap());
    (cookie, parts.map(str::to_owned).collect())
}

fn csrf(answer: &Answer) -> String {
    format!("X-CSRF-Token: {}", answer.json()["csrf"].as_str().unwrap())
}

#[test]
fn a_page_reads_with_its_cookie_and_writes_with_what_it_was_told_besides() {
    let home = folder();
    let (server, _, crane) = guarded(home.path(), &[]);
    let begun = sign_in(&server, &crane, &[]).is(200);
    let (cookie, said) = cookie(&begun);
    assert_eq!(
        said,
        ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]
    );
    let told = get(server.address, "/session", &[&cookie]).is(200).json();
    assert_eq!(told, begun.json());
    assert_eq!(
        (&told["name"], &told["scope"]),
        (&"crane".into(), &"write".into())
    );

    get(server.address, CONSIGNMENTS, &[&cookie]).is(200);
    get(server.address, "/v1/vessels", &[&cookie]).is(200);
    let csrf = csrf(&begun);
    let near = format!("{}0", &csrf[..csrf.len() - 1]);
    let near = if near == csrf {
        format!("{}1", &csrf[..csrf.len() - 1])
    } else {
        near
    };
    for shown in [
        None,
        Some("X-CSRF-Token: "),
        Some("X-CSRF-Token: x"),
        Some(&near),
    ] {
        let headers: Vec<_> = [&*cookie, JSON].into_iter().chain(shown).collect();
        let refused = send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(403);
        let expected = ("PERMISSION_DENIED".into(), vec!["X-CSRF-Token".into()]);
        assert_eq!(refused.refusal(), expected);
    }
    let headers = [&*cookie, JSON, &csrf];
    send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(201);
    // Another site's page has neither, and does not get in with both.
    for site in ["Origin: http://evil.example", "Sec-Fetch-Site: same-site"] {
        let headers = [&*cookie, JSON, &csrf, site];
        send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(403);
        sign_in(&server, &crane, &[site]).is(403);
        send(server.address, "DELETE", "/session", &headers, "").is(403);
    }
    let listed = get(server.address, CONSIGNMENTS, &[&cookie]).json();
    let listed = listed["consignments"].as_array().unwrap();
    assert_eq!(
        (listed.len(), &listed[0]["created_by"]),
        (1, &"crane".into())
    );
    // Who sends the token itself is no page.
    let bearer = format!("Authorization: Bearer {crane}");
    send(server.address, "POST", CONSIGNMENTS, &[&bearer, JSON], "{}").is(201);
}

#[test]
fn a_session_may_do_what_its_token_may() {
    let home = folder();
    let (server, desk, _) = guarded(home.path(), &[]);
    let begun = sign_in(&server, &desk, &[]).is(200);
    assert_eq!(begun.json()["scope"], "read");
    let (cookie, _) = cookie(&begun);
    get(server.address, CONSIGNMENTS, &[&cookie]).is(200);
    let headers = [&*cookie, JSON, &csrf(&begun)];
    let refused = send(server.address, "POST", CONSIGNMENTS, &headers, "{}").is(403);
    assert_eq!(refused.refusal().0, "PERMISSION_DENIED");

    for wrong in ["shippy_wrong", "", "a b"] {
        let refused = sign_in(&server, wrong, &[]).is(401);
        assert_eq!(refused.header("set-cookie"), None);
    }
    send(server.address, "POST", "/session", &[], "").is(401);
    let nobody = get(server.address, "/session", &[]).is(200);
    assert_eq!(nobody.body, "{\"scope\":\"none\"}");
    let stale = cookie.replace(&desk, "shippy_stale");
    assert_ne!(stale, cookie);
    assert_eq!(get(server.address, "/session", &[&stale]).body, nobody.body);
    get(server.address, CONSIGNMENTS, &[&stale]).is(401);
}

#[test]
fn a_session_ends_when_the_page_says_so() {
    let home = folder();
    let (server, desk, _) = guarded(home.path(), &[]);
    let begun = sign_in(&server, &desk, &[]).is(200);
    let (kept, _) = cookie(&begun);
    // Also one that was taken back, whose page is told nothing to show.
    for kept in [kept.clone(), kept.replace(&desk, "shippy_stale")] {
        let ended = send(server.address, "DELETE", "/session", &[&kept], "").is(200);
        assert_eq!(ended.json()["scope"], "none");
        let name = kept
            .split("; ")
            .last()
            .and_then(|pair| pair.split_once('='));
        let name = name.unwrap().0;
        let forgotten: Vec<_> = (ended.headers.iter())
            .filter(|(header, _)| header == "set-cookie")
            .map(|(_, value)| &**value)
            .collect();
        let said = "Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
        assert_eq!(
            forgotten,
            [
                format!("__Host-{name}=; {said}; Secure"),
                format!("{name}=; {said}")
            ]
        );
    }
}

/// Whoever has a name in the same domain, or is between where something comes in clear, can set a cookie without the prefix.
#[test]
fn a_cookie_that_others_can_set_does_not_stand_for_anybody() {
    let home = folder();
    let (server, desk, crane) = guarded(home.path(), &["--http-host", "depot.example"]);
    let secure = [
        "Host: depot.example",
        "Origin: https://depot.example",
        "Sec-Fetch-Site: same-origin",
    ];
    let (kept, _) = cookie(&sign_in(&server, &crane, &secure).is(200));
    let (set, _) = cookie(&sign_in(&server, &desk, &[]).is(200));
    let kept = kept.strip_prefix("Cookie: other=1; ").unwrap();
    let name = |headers: &[&str]| {
        let told = get(server.address, "/session", headers).is(200);
        told.json()["name"].as_str().map(str::to_owned)
    };
    let both = format!("{set}; {kept}");
    for host in ["Host: depot.example", "Host: localhost"] {
        assert_eq!(name(&[host, &both]).as_deref(), Some("crane"), "{host}");
    }
    assert_eq!(name(&["Host: localhost", &set]).as_deref(), Some("desk"));
    for headers in [
        &["Host: depot.example", &*set][..],
        &["Host: localhost", "Origin: https://localhost", &set],
    ] {
        assert_eq!(name(headers), None, "{headers:?}");
        get(server.address, CONSIGNMENTS, headers).is(401);
    }
}

#[test]
fn a_token_is_kept_only_where_nobody_between_could_read_it() {
    let home = folder();
    let (server, desk, _) = guarded(home.path(), &["--http-host", "depot.example"]);
    let named = "Host: depot.example";
    let refused = sign_in(&server, &desk, &[named]).is(403);
    assert_eq!(refused.header("set-cookie"), None);
    sign_in(&server, &desk, &[named, "Origin: http://depot.example"]).is(403);
    sign_in(&server, &desk, &["Host: localhost:1"]).is(200);
    // TLS ends before the server or in it: what browsers send is the same.
    let secure = sign_in(&server, &desk, &[named, "Origin: https://depot.example"]).is(200);
    let (cookie, said) = cookie(&secure);
    assert!(
        cookie.contains("__Host-shippy-") && said.contains(&"Secure".into()),
        "{said:?}"
    );
    get(server.address, CONSIGNMENTS, &[&cookie]).is(200);
}

/// A browser sends the cookies of a host to all its ports, in clear and by TLS.
#[test]
fn by_tls_only_the_cookie_counts_that_was_set_by_tls() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let (server, desk, crane) = guarded(home.path(), &pair.args());
    let ask = |method: &str, path: &str, headers: &[&str]| {
        send_by_tls((server.address, &authority.file), method, path, headers)
    };
    // No browser says so little, but that it came by TLS is known without.
    let bearer = format!("Authorization: Bearer {crane}");
    for host in ["Host: localhost", "Host: 192.0.2.1"] {
        let begun = ask("POST", "/session", &[&bearer, host]).is(200);
        let (_, said) = cookie(&begun);
        assert!(said.contains(&"Secure".into()), "{host}: {said:?}");
    }
    let name = format!("shippy-{}", server.register);
    let (plain, prefixed) = (format!("{name}={desk}"), format!("__Host-{name}={crane}"));
    for (kept, who, status) in [
        (plain.clone(), None, 401),
        (prefixed.clone(), Some("crane"), 200),
        (format!("{plain}; {prefixed}"), Some("crane"), 200),
    ] {
        let headers = ["Host: localhost", &format!("Cookie: {kept}")];
        let told = ask("GET", "/session", &headers).is(200).json();
        assert_eq!(told["name"].as_str(), who, "{kept}");
        ask("GET", CONSIGNMENTS, &headers).is(status);
    }
}

#[test]
fn a_session_goes_on_over_a_restart() {
    let home = folder();
    let (desk, line) = token(home.path(), "desk", "read");
    let tokens = file(home.path(), "tokens", line);
    let start = || {
        Server::start_with(home.path(), |command| {
            command.args(["--tokens", &tokens]);
        })
    };
    let server = start();
    let (cookie, _) = cookie(&sign_in(&server, &desk, &[]).is(200));
    server.kill();
    get(start().address, CONSIGNMENTS, &[&cookie]).is(200);
}

#[tokio::test]
async fn a_cookie_is_nothing_to_grpc() {
    let home = folder();
    let (server, _, crane) = guarded(home.path(), &[]);
    let (cookie, _) = cookie(&sign_in(&server, &crane, &[]).is(200));
    let value: MetadataValue<_> = cookie.strip_prefix("Cookie: ").unwrap().parse().unwrap();
    let mut request = Request::new(shippy::proto::GetRequest {});
    request.metadata_mut().insert("cookie", value);
    let refused = server.connect().await.get_consignments(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[test]
fn without_tokens_there_is_nothing_to_sign_in_to() {
    let home = folder();
    let server = serve(home.path(), &[]);
    assert_eq!(
        get(server.address, "/session", &[]).body,
        "{\"scope\":\"write\"}"
    );
    let refused = sign_in(&server, "shippy_any", &[]).is(400);
    assert_eq!(refused.header("set-cookie"), None);
}
