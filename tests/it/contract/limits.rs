//! What a consignment may be, and how a client is told of what it may not.

use prost::Message as _;
use shippy::proto::{Consignment, Container};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{all, create, sample};
use crate::support::{Server, folder};

const TEXT: usize = 4 * 1024;
const ENCODED: usize = 256 * 1024;

/// A text of `length` bytes.
fn text(length: usize) -> String {
    "x".repeat(length)
}

/// The sample with one thing changed.
fn with(change: impl FnOnce(&mut Consignment)) -> Consignment {
    let mut consignment = sample("limits");
    change(&mut consignment);
    consignment
}

fn with_container(change: impl FnOnce(&mut Container)) -> Consignment {
    with(|consignment| {
        consignment.containers.push(Container::default());
        change(&mut consignment.containers[1]);
    })
}

/// A consignment that takes exactly `size` bytes encoded, none of its texts too long.
pub(super) fn of_size(id: &str, size: usize) -> Consignment {
    let mut consignment = Consignment {
        id: id.into(),
        ..Consignment::default()
    };
    let full = Container {
        origin: text(4_000),
        ..Container::default()
    };
    while consignment.encoded_len() + 8_200 < size {
        consignment.containers.push(full.clone());
    }
    for place in [0, 1] {
        let room = size - consignment.encoded_len();
        let length = if place == 0 { room / 2 } else { room - 3 };
        let field = [&mut consignment.description, &mut consignment.vessel_id];
        *field[place] = text(length);
    }
    assert_eq!(consignment.encoded_len(), size);
    consignment
}

/// What is too much, and the fields that are named for it.
fn too_much() -> Vec<(Consignment, Vec<&'static str>)> {
    vec![
        (with(|it| it.weight = -1), vec!["weight"]),
        (with(|it| it.weight = i32::MIN), vec!["weight"]),
        (with(|it| it.id = text(65)), vec!["id"]),
        (with(|it| it.id = "a b".into()), vec!["id"]),
        (with(|it| it.id = "a/b".into()), vec!["id"]),
        (with(|it| it.id = "ä".into()), vec!["id"]),
        (with(|it| it.id = "a\nb".into()), vec!["id"]),
        (with(|it| it.id = "a\0".into()), vec!["id"]),
        (
            with(|it| it.description = text(TEXT + 1)),
            vec!["description"],
        ),
        (with(|it| it.vessel_id = text(TEXT + 1)), vec!["vessel_id"]),
        (
            with_container(|it| it.id = text(TEXT + 1)),
            vec!["containers[1].id"],
        ),
        (
            with_container(|it| it.customer_id = text(TEXT + 1)),
            vec!["containers[1].customer_id"],
        ),
        (
            with_container(|it| it.origin = text(TEXT + 1)),
            vec!["containers[1].origin"],
        ),
        (
            with_container(|it| it.user_id = text(TEXT + 1)),
            vec!["containers[1].user_id"],
        ),
        (
            with(|it| it.containers = vec![Container::default(); 1_001]),
            vec!["containers"],
        ),
        (of_size("limits", ENCODED + 1), vec![""]),
        (
            with(|it| {
                it.id = "a b".into();
                it.weight = -1;
                it.vessel_id = text(TEXT + 1);
                it.containers[0].origin = text(TEXT + 1);
            }),
            vec!["id", "weight", "vessel_id", "containers[0].origin"],
        ),
    ]
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_with_each_field_and_is_not_stored() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for (consignment, fields) in too_much() {
        let refused = client.create_consignment(consignment).await;
        let refused = refused.expect_err(&format!("{fields:?}"));
        assert_eq!(refused.code(), Code::InvalidArgument, "{fields:?}");
        assert_eq!(violated(&refused), fields, "{refused:?}");
        for field in fields {
            assert!(refused.message().contains(field), "{refused:?}");
        }
    }
    assert_eq!(all(&mut client).await, []);
}

#[tokio::test]
async fn what_just_keeps_the_limits_is_stored() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let longest_id = "AZaz09._-".repeat(8)[..64].to_owned();
    let good = [
        with(|it| it.weight = 0),
        with(|it| it.weight = i32::MAX),
        with(|it| it.id = longest_id),
        with(|it| it.description = text(TEXT)),
        with(|it| it.vessel_id = "ein Schiff, 東京\n\u{1b}[2J".into()),
        with_container(|it| it.origin = text(TEXT)),
        with(|it| it.containers = vec![Container::default(); 1_000]),
        of_size("full", ENCODED),
        Consignment::default(),
    ];
    for (number, mut consignment) in good.into_iter().enumerate() {
        if consignment.id == "limits" {
            consignment.id = format!("limits-{number}");
        }
        assert!(create(&mut client, consignment).await.created);
    }
    assert_eq!(all(&mut client).await.len(), 9);
}

#[tokio::test]
async fn of_very_many_violations_some_are_named_and_the_reply_arrives() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let long = Container {
        id: text(TEXT + 1),
        ..Container::default()
    };
    let many = with(|it| it.containers = vec![long; 100]);
    let refused = client.create_consignment(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(violated(&refused).len(), 10);
}

#[tokio::test]
async fn a_message_that_is_too_large_to_be_read_is_refused_and_the_connection_lives_on() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    let huge = with(|it| it.description = text(5 * 1024 * 1024));
    let refused = client.create_consignment(huge).await.unwrap_err();
    assert!(refused.message().contains("too large"), "{refused:?}");
    create(&mut client, sample("tea-1")).await;
    assert_eq!(all(&mut client).await.len(), 1);
}

/// The fields that a refusal names for programs.
pub(super) fn violated(refused: &Status) -> Vec<String> {
    let details = refused.get_details_bad_request();
    let details = details.unwrap_or_else(|| panic!("no BadRequest in {refused:?}"));
    let violations = details.field_violations.into_iter();
    violations.map(|violation| violation.field).collect()
}
