//! `ListConsignments` with conditions, and from its end.

use shippy::proto::{Consignment, Container, ListRequest, Position};
use tonic::Code;

use super::{Client, create, ids, limits::violated, listed};
use crate::support::{Server, folder};

fn consignment(id: &str, vessel: &str, containers: &[(&str, &str, &str)]) -> Consignment {
    let container = |&(customer_id, user_id, origin): &(&str, &str, &str)| Container {
        customer_id: customer_id.into(),
        user_id: user_id.into(),
        origin: origin.into(),
        ..Container::default()
    };
    Consignment {
        id: id.into(),
        vessel_id: vessel.into(),
        containers: containers.iter().map(container).collect(),
        ..Consignment::default()
    }
}

async fn fill(client: &mut Client) {
    for consignment in [
        consignment(
            "tea",
            "v1",
            &[("ann", "u1", "Leith"), ("bob", "u2", "Porto")],
        ),
        consignment("rum", "v1", &[("bob", "u1", "Porto")]),
        consignment("silk", "v2", &[("ann", "u2", "Leith")]),
        consignment("coal", "", &[]),
    ] {
        create(client, consignment).await;
    }
}

/// The ids of what meets `request`.
async fn found(client: &mut Client, request: ListRequest) -> Vec<String> {
    let listed = listed(client, request).await;
    ids(&listed).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_condition_that_is_set_is_met() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    fill(&mut client).await;
    let any = ListRequest::default;
    let text = |text: &str| text.to_owned();
    for (request, expected) in [
        (
            ListRequest {
                vessel_id: text("v1"),
                ..any()
            },
            &["tea", "rum"][..],
        ),
        (
            ListRequest {
                customer_id: text("ann"),
                ..any()
            },
            &["tea", "silk"],
        ),
        (
            ListRequest {
                user_id: text("u2"),
                ..any()
            },
            &["tea", "silk"],
        ),
        (
            ListRequest {
                origin: text("Porto"),
                ..any()
            },
            &["tea", "rum"],
        ),
        (
            ListRequest {
                origin: text("porto"),
                ..any()
            },
            &[],
        ),
        // One container meets the one, another the other.
        (
            ListRequest {
                customer_id: text("ann"),
                origin: text("Porto"),
                ..any()
            },
            &["tea"],
        ),
        (
            ListRequest {
                vessel_id: text("v2"),
                customer_id: text("bob"),
                ..any()
            },
            &[],
        ),
        (
            ListRequest {
                vessel_id: text("v1"),
                ids: vec![text("rum"), text("silk")],
                ..any()
            },
            &["rum"],
        ),
    ] {
        assert_eq!(
            found(&mut client, request.clone()).await,
            expected,
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn a_time_is_from_which_and_until_which() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    fill(&mut client).await;
    let all = super::all(&mut client).await;
    let third = all[2].created_at;
    let from = ListRequest {
        created_from: third,
        ..ListRequest::default()
    };
    assert_eq!(found(&mut client, from).await, ["silk", "coal"]);
    let until = ListRequest {
        created_until: third,
        ..ListRequest::default()
    };
    assert_eq!(found(&mut client, until).await, ["tea", "rum"]);
}

#[tokio::test]
async fn the_newest_come_first_and_before_a_position() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    fill(&mut client).await;
    let newest = ListRequest {
        newest_first: true,
        ..ListRequest::default()
    };
    let all = found(&mut client, newest.clone()).await;
    assert_eq!(all, ["coal", "silk", "rum", "tea"]);
    let position = |sequence| {
        Some(Position {
            register: server.register.clone(),
            sequence,
        })
    };
    let some = ListRequest {
        before: position(4),
        limit: 2,
        ..newest.clone()
    };
    assert_eq!(found(&mut client, some).await, ["silk", "rum"]);
    let between = ListRequest {
        after: position(1),
        before: position(3),
        ..ListRequest::default()
    };
    assert_eq!(found(&mut client, between).await, ["rum"]);
    for before in [position(0), position(1)] {
        let none = ListRequest {
            before,
            ..newest.clone()
        };
        assert!(found(&mut client, none).await.is_empty());
    }
    let beyond = ListRequest {
        before: position(6),
        ..newest
    };
    let refused = super::chunks(&mut client, beyond).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_list_that_is_followed_goes_neither_back_nor_up_to_a_position() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    for request in [
        ListRequest {
            newest_first: true,
            ..ListRequest::default()
        },
        ListRequest {
            before: Some(Position::default()),
            ..ListRequest::default()
        },
    ] {
        let request = ListRequest {
            follow: true,
            ..request
        };
        let refused = super::chunks(&mut client, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(violated(&refused), ["follow"]);
    }
}
