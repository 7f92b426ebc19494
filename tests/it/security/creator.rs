//! Who created a consignment, as the register has it.

use std::{path::Path, process::Command};

use prost::Message as _;
use serde_json::Value;
use shippy::proto::{Consignment, GetRequest, Response};
use tonic::{Request, metadata::MetadataValue};

use super::{Authority, Pair, serve, token};
use crate::{
    cli::file,
    support::{Server, folder, run},
};

/// The id and the creator of each consignment that `list` shows.
fn creators(mut list: Command) -> Vec<(String, Option<String>)> {
    let ran = run(list.args(["-o", "ndjson"])).exits(0);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (ran.stdout.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|one: Value| (text(&one["id"]).unwrap(), text(&one["created_by"])))
        .collect()
}

fn known(all: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    let owned = |(id, name): &(&str, Option<&str>)| ((*id).into(), name.map(str::to_owned));
    all.iter().map(owned).collect()
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Stores the consignment `id`, which claims to be somebody else's, by a call of its own.
async fn create(server: &Server, id: &str, token: &str) -> (bool, Consignment) {
    let consignment = Consignment {
        id: id.into(),
        created_by: "forged".into(),
        ..Consignment::default()
    };
    let mut client = server.connect().await;
    let reply = client.create_consignment(with_token(consignment, token));
    let Response {
        created,
        consignment,
        ..
    } = reply.await.unwrap().into_inner();
    (created, consignment.unwrap())
}

#[tokio::test]
async fn the_first_who_sends_a_consignment_is_named_with_it_by_their_token() {
    let home = folder();
    let (crane, crane_line) = token(home.path(), "crane", "write");
    let (desk, desk_line) = token(home.path(), "@desk", "write");
    let tokens = file(home.path(), "tokens", format!("{crane_line}\n{desk_line}"));
    let server = serve(home.path(), &["--tokens", &tokens]);
    let (created, stored) = create(&server, "a", &crane).await;
    assert_eq!((created, &*stored.created_by), (true, "crane"));
    let (created, again) = create(&server, "a", &desk).await;
    assert_eq!((created, again), (false, stored));
    // A load, in which the first is there and the second claims to be somebody else's.
    let load = "{\"id\":\"a\"}\n{\"id\":\"b\",\"created_by\":\"forged\"}\n";
    let load = file(home.path(), "load.ndjson", load);
    let ask = |args: &[&str]| {
        let mut command = server.ask(home.path(), args);
        command.env("SHIPPY_TOKEN", &desk);
        command
    };
    run(&mut ask(&["create", &load])).exits(0);
    let both = known(&[("a", Some("crane")), ("b", Some("@desk"))]);
    assert_eq!(creators(ask(&["list"])), both);
    let mut client = server.connect().await;
    let all = client.get_consignments(with_token(GetRequest {}, &desk));
    let all = all.await.unwrap().into_inner().consignments;
    let all: Vec<_> = (all.into_iter())
        .map(|one| Consignment::decode(one).unwrap())
        .map(|one| (one.id, Some(one.created_by)))
        .collect();
    assert_eq!(all, both);
    let csv = run(&mut ask(&["list", "-o", "csv"])).exits(0).stdout;
    let last: Vec<_> = (csv.lines())
        .map(|line| line.rsplit(',').next().unwrap())
        .collect();
    assert_eq!(last, ["created_by", "crane", "'@desk"]);
    // A table is narrow enough without.
    let table = run(&mut ask(&["list"])).exits(0).stdout;
    assert!(!table.contains("crane"), "{table}");
}

#[test]
fn what_is_listed_is_created_elsewhere_by_whoever_does_so() {
    let home = folder();
    let (desk, line) = token(home.path(), "desk", "write");
    let tokens = file(home.path(), "tokens", line);
    let elsewhere = folder();
    let (guarded, open) = (
        serve(home.path(), &["--tokens", &tokens]),
        serve(elsewhere.path(), &[]),
    );
    let consignment = file(home.path(), "one.json", r#"{"id":"a"}"#);
    let mut create = guarded.ask(home.path(), &["create", &consignment]);
    run(create.env("SHIPPY_TOKEN", &desk)).exits(0);
    let mut list = guarded.ask(home.path(), &["list", "-o", "json"]);
    let listed = run(list.env("SHIPPY_TOKEN", &desk)).exits(0).stdout;
    assert!(listed.contains("desk"), "{listed}");
    let listed = file(home.path(), "listed.json", listed);
    run(&mut open.ask(home.path(), &["create", &listed])).exits(0);
    let list = open.ask(home.path(), &["list"]);
    assert_eq!(creators(list), known(&[("a", None)]));
}

#[test]
fn a_certificate_names_its_owner_where_no_token_does() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let client = authority.client(home.path(), "crane");
    let (desk, line) = token(home.path(), "desk", "write");
    let tokens = file(home.path(), "tokens", format!("crane write\n{line}"));
    let certified = [&pair.args()[..], &["--tls-client-ca", &authority.file]].concat();
    for guarded in [&["--tokens", &tokens][..], &[]] {
        let server_home = folder();
        let server = serve(server_home.path(), &[&certified, guarded].concat());
        let ask = |args: &[&str]| by_certificate(&server, home.path(), args, &authority, &client);
        let consignment = file(home.path(), "one.json", r#"{"id":"a"}"#);
        run(&mut ask(&["create", &consignment])).exits(0);
        let mut expected = vec![("a", Some("crane"))];
        if !guarded.is_empty() {
            let consignment = file(home.path(), "two.json", r#"{"id":"b"}"#);
            run(ask(&["create", &consignment]).env("SHIPPY_TOKEN", &desk)).exits(0);
            expected.push(("b", Some("desk")));
        }
        assert_eq!(creators(ask(&["list"])), known(&expected));
    }
}

fn by_certificate(
    server: &Server,
    home: &Path,
    args: &[&str],
    authority: &Authority,
    client: &Pair,
) -> Command {
    let mut command = server.ask(home, args);
    command.args(["--tls-ca", &authority.file]);
    command.args(client.args());
    command
}
