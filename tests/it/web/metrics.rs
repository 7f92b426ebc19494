//! `GET /metrics`

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use rcgen::date_time_ymd;
use shippy::proto::{Consignment, ListRequest};

use super::{CONSIGNMENTS, JSON};
use crate::{
    security::{Authority, serve},
    support::{
        Ran, Server,
        answer::{get, send, send_by_tls},
        eventually, folder,
    },
};

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"));

fn metrics(server: &Server) -> String {
    let answer = get(server.address, "/metrics", &[]).is(200);
    let media_type = Some("text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.header("content-type"), media_type);
    answer.body
}

/// The metrics of a server that has all of them.
pub(crate) fn all() -> String {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let server = Server::start_with(home.path(), |command| {
        command.args(pair.args());
    });
    let ask = |path| send_by_tls((server.address, &authority.file), "GET", path, &[]).is(200);
    // Of requests something is told once there was one.
    ask("/healthz");
    ask("/metrics").body
}

/// The value of one series.
#[track_caller]
fn value(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find_map(|line| {
        let value = line.strip_prefix(series)?.strip_prefix(' ')?;
        value.trim_end_matches(".0").parse().ok()
    });
    line.unwrap_or_else(|| panic!("no {series} in {metrics}"))
}

#[tokio::test]
async fn what_happens_is_counted() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for id in ["a", "b", "a"] {
        let id = id.to_owned();
        let tea = Consignment {
            id,
            ..Consignment::default()
        };
        client.create_consignment(tea).await.unwrap();
    }
    let heavy = Consignment {
        weight: -1,
        ..Consignment::default()
    };
    client.create_consignment(heavy).await.unwrap_err();
    let list = client.list_consignments(ListRequest::default()).await;
    let mut list = list.unwrap().into_inner();
    while list.message().await.unwrap().is_some() {}
    send(server.address, "POST", CONSIGNMENTS, &[JSON], "{}").is(201);
    send(server.address, "POST", CONSIGNMENTS, &[JSON], "x").is(400);
    get(server.address, CONSIGNMENTS, &[]).is(200);
    get(server.address, "/nowhere", &[]).is(404);
    let followed = ListRequest {
        follow: true,
        ..ListRequest::default()
    };
    let mut followed = client
        .list_consignments(followed)
        .await
        .unwrap()
        .into_inner();
    followed.message().await.unwrap();

    let count = |rpc: &str, code: &str| {
        format!("shippy_request_seconds_count{{rpc=\"{rpc}\",code=\"{code}\"}}")
    };
    let expected = [
        (count("CreateConsignment", "OK"), 3),
        (count("CreateConsignment", "INVALID_ARGUMENT"), 1),
        (count("CreateConsignments", "OK"), 1),
        (count("CreateConsignments", "INVALID_ARGUMENT"), 1),
        (count("ListConsignments", "OK"), 2),
        (count("other", "NOT_FOUND"), 1),
        ("shippy_register_records".into(), 3),
        ("shippy_followers".into(), 1),
        ("shippy_queue_bytes".into(), 0),
        ("shippy_index_lag_records".into(), 0),
        ("shippy_store_writes".into(), 1),
        ("shippy_commit_records_sum".into(), 4),
        ("shippy_commit_records_count".into(), 4),
        ("shippy_commit_seconds_count".into(), 4),
        ("shippy_sync_seconds_count".into(), 4),
        (
            format!(
                "shippy_build_info{{version=\"{}\"}}",
                env!("CARGO_PKG_VERSION")
            ),
            1,
        ),
    ];
    // A request is counted once its reply has been handed over, and the index follows behind.

    eventually("the counts", || {
        let metrics = metrics(&server);
        let found = expected.iter().map(|(series, _)| value(&metrics, series));
        let found: Vec<_> = found.collect();
        let are_equal = found
            .iter()
            .zip(&expected)
            .all(|(found, (_, value))| found == value);

        are_equal.then_some(())
    });
    drop(followed);
    eventually("the follower's end", || {
        (value(&metrics(&server), "shippy_followers") == 0).then_some(())
    });
    eventually("the announcement", || {
        (value(&metrics(&server), "shippy_announced") == 1).then_some(())
    });
}

#[test]
fn a_body_that_is_too_large_is_counted() {
    let home = folder();
    let server = Server::start(home.path());
    let long = "Content-Length: 5000000";
    send(server.address, "POST", CONSIGNMENTS, &[JSON, long], "").is(413);
    let size = "shippy_requests_limited_total{reason=\"size\"}";
    assert_eq!(value(&metrics(&server), size), 1);
}

#[test]
fn it_is_told_when_the_certificate_ends_that_is_shown_now() {
    const ENDS: &str = "shippy_tls_certificate_not_after_timestamp_seconds";
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let ending = |year| {
        authority.certify(home.path(), "shippy", |params| {
            params.not_after = date_time_ymd(year, 1, 1);
        })
    };
    let pair = ending(2100);
    let server = serve(home.path(), &pair.args());
    let ends = || {
        let server = (server.address, &*authority.file);
        value(
            &send_by_tls(server, "GET", "/metrics", &[]).is(200).body,
            ENDS,
        )
    };
    assert_eq!(ends(), 4_102_444_800);
    ending(2101);
    eventually("the renewed one", || {
        (ends() == 4_133_980_800).then_some(())
    });

    let clear = Server::start(home.path());
    assert!(!metrics(&clear).contains(ENDS));
}

#[test]
fn the_document_has_each_metric_that_there_is_and_no_other() {
    let metrics = all();
    let there: BTreeSet<_> = (metrics.lines())
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let (_, section) = DOCUMENT.split_once("## Metrics").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let told: BTreeSet<_> = (section.lines())
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(there, told);
}

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong() {
    let home = folder();
    let server = Server::start(home.path());
    send(server.address, "POST", CONSIGNMENTS, &[JSON], "{}").is(201);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    promtool
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(metrics(&server).as_bytes()).unwrap();
    drop(stdin);
    let ran = Ran::new(
        "promtool check metrics".into(),
        child.wait_with_output().unwrap(),
    );
    let ran = ran.exits(0);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""));
}
