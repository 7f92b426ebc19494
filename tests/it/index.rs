//! Lists by conditions, whatever has become of the filter index beside the register.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use rusqlite::{Connection, OpenFlags};
use shippy::{
    consignment::{canonical, new_id},
    proto::{
        Consignment, Container, CreateChunk, ListRequest,
        shipping_service_client::ShippingServiceClient,
    },
    store::{NewConsignment, Store as _, sqlite::SqliteStore},
};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    running::run_to_end,
    support::{Server, eventually, folder, shippy},
};

type Client = ShippingServiceClient<Channel>;

/// Records of a segment (`SEGMENT_ROWS`).
const SEGMENT: u64 = 16 * 1024;
/// Enough for some segments.
const CONSIGNMENTS: u64 = 3 * SEGMENT + 1_000;
/// A server lives at most so long: making the index takes as long in a build without optimizations.
const LONGEST_LIFE_MILLIS: u64 = 1_500;
const ROUNDS: u64 = 4;
/// How many of each text there are.
const TEXTS: u64 = 500;

fn index_of(home: &Path) -> PathBuf {
    home.join("register.db.index")
}

/// The `number`th consignment.
fn consignment(number: u64) -> Consignment {
    // Not in step with each other.
    let one = |of: &str, prime| format!("{of}-{}", number.wrapping_mul(prime) / 7 % TEXTS);
    let container = |prime| Container {
        customer_id: one("customer", prime),
        user_id: one("user", 13),
        origin: one("origin", 17),
        ..Container::default()
    };
    Consignment {
        id: new_id(),
        containers: vec![container(31), container(37)],
        vessel_id: one("vessel", 11),
        ..Consignment::default()
    }
}

/// Conditions that a few consignments meet, and one that none does.
fn conditions(number: u64) -> [ListRequest; 6] {
    let text = |of| format!("{of}-{}", number % TEXTS);
    let any = ListRequest::default;
    [
        ListRequest {
            vessel_id: text("vessel"),
            ..any()
        },
        ListRequest {
            customer_id: text("customer"),
            ..any()
        },
        ListRequest {
            user_id: text("user"),
            ..any()
        },
        ListRequest {
            origin: text("origin"),
            newest_first: true,
            ..any()
        },
        ListRequest {
            vessel_id: text("vessel"),
            origin: format!("origin-{}", number * 3 % TEXTS),
            ..any()
        },
        ListRequest {
            customer_id: "nobody".into(),
            ..any()
        },
    ]
}

fn meets(consignment: &Consignment, request: &ListRequest) -> bool {
    let is = |wanted: &String, has: &String| wanted.is_empty() || wanted == has;
    let any = |wanted: &String, field: fn(&Container) -> &String| {
        wanted.is_empty()
            || consignment
                .containers
                .iter()
                .any(|one| wanted == field(one))
    };
    is(&request.vessel_id, &consignment.vessel_id)
        && any(&request.customer_id, |one| &one.customer_id)
        && any(&request.user_id, |one| &one.user_id)
        && any(&request.origin, |one| &one.origin)
}

/// A folder with a register that is closed.
async fn made() -> TempDir {
    let home = folder();
    let store = SqliteStore::open(&home.path().join("register.db")).unwrap();
    let new = |number| {
        let mut consignment = consignment(number);
        NewConsignment::new(consignment.id.clone(), canonical(&mut consignment))
    };
    store
        .append((0..CONSIGNMENTS).map(new).collect())
        .await
        .unwrap();
    store.close().await;
    home
}

async fn list(client: &mut Client, request: ListRequest) -> Vec<Consignment> {
    let chunks = client.list_consignments(request).await.unwrap();
    let mut chunks = chunks.into_inner();
    let mut listed = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        let decoded = chunk.consignments.into_iter().map(Consignment::decode);
        listed.extend(decoded.map(Result::unwrap));
    }
    listed
}

/// Fails unless lists by conditions hold what the list of everything does of them; how many there are.
async fn check(client: &mut Client, number: u64) -> u64 {
    let all = list(client, ListRequest::default()).await;
    for request in conditions(number) {
        let meeting = all.iter().filter(|one| meets(one, &request));
        let mut expected: Vec<u64> = meeting.map(|one| one.sequence).collect();
        if request.newest_first {
            expected.reverse();
        }
        let found = list(client, request.clone()).await;
        let found: Vec<u64> = found.iter().map(|one| one.sequence).collect();
        assert_eq!(found, expected, "{request:?}");
    }
    all.len() as u64
}

/// Up to where the index's file goes; `None` when there is none.
fn watermark(home: &Path) -> Option<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let index = Connection::open_with_flags(index_of(home), flags).ok()?;
    let select = "SELECT watermark FROM origin";
    index.query_row(select, [], |row| row.get(0)).ok()
}

/// Creates without a pause until the server is gone.
async fn create(mut client: Client, first: u64) {
    let chunks = stream::iter(first..)
        .chunks(100)
        .map(|numbers| CreateChunk {
            consignments: numbers
                .into_iter()
                .map(|number| consignment(number).encode_to_vec().into())
                .collect(),
        });
    if let Ok(reply) = client.create_consignments(chunks).await {
        let mut outcomes = reply.into_inner();
        while let Ok(Some(_)) = outcomes.message().await {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_register_without_an_index_is_served_at_once_and_has_one_soon() {
    let home = made().await;
    // Closing does not wait for the index, so there may be none.
    let _ = fs::remove_file(index_of(home.path()));
    let server = Server::start(home.path());
    let mut client = server.connect().await;
    assert_eq!(check(&mut client, 7).await, CONSIGNMENTS);
    let folded = CONSIGNMENTS / SEGMENT * SEGMENT;
    eventually("the index", || {
        (watermark(home.path()) == Some(folded)).then_some(())
    });
    assert_eq!(check(&mut client, 8).await, CONSIGNMENTS);
    assert!(server.stop().success());
    let beside = fs::read_dir(home.path()).unwrap();
    let names: Vec<_> = beside.map(|entry| entry.unwrap().file_name()).collect();
    let left = names
        .iter()
        .filter(|name| name.to_string_lossy().contains(".index"));
    assert_eq!(left.count(), 1, "one file: {names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_by_conditions_hold_all_after_a_kill_at_any_moment() {
    let home = made().await;
    let mut known = CONSIGNMENTS;
    let now = uuid::Uuid::now_v7().as_u128();
    for round in 0..ROUNDS {
        // In some rounds the index is made from the beginning, in others it goes on.
        if round % 2 == 0 {
            let _ = fs::remove_file(index_of(home.path()));
        }
        let server = Server::start(home.path());
        let creating = tokio::spawn(create(server.connect().await, known));
        let life = u64::try_from((now >> (round * 10)) % u128::from(LONGEST_LIFE_MILLIS)).unwrap();
        eprintln!("round {round}: killed after {life} ms");
        tokio::time::sleep(Duration::from_millis(life)).await;
        server.kill();
        creating.await.unwrap();
        let server = Server::start(home.path());
        let mut client = server.connect().await;
        let count = check(&mut client, round).await;
        assert!(count >= known, "{count} of {known}");
        known = count;
        // It goes on to be killed in the middle of its work as well.
        server.kill();
    }
    let server = Server::start(home.path());
    let folded = known / SEGMENT * SEGMENT;
    eventually("the index", || {
        (watermark(home.path()) == Some(folded)).then_some(())
    });
    check(&mut server.connect().await, 99).await;
    assert!(server.stop().success());
}

#[test]
fn what_is_beside_a_file_that_is_no_register_is_left_alone() {
    let home = folder();
    let path = home.path().join("register.db");
    fs::write(&path, "something else").unwrap();
    fs::write(index_of(home.path()), "mine").unwrap();
    let mut serve = shippy(home.path());
    serve
        .args(["serve", "--store"])
        .arg(format!("sqlite:{}", path.display()));
    run_to_end(&mut serve).exits(1);
    assert_eq!(fs::read(index_of(home.path())).unwrap(), b"mine");
}
