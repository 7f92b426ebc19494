//! What must hold of any request, whoever sends it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use pbjson_types::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use prost::Message as _;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};
use tonic::{Code, Request, Status};

use super::{MAX_LISTED_IDS, Origin, Prepared, RegisterService, invalid, prepare};
use crate::{
    consignment::{MAX_ENCODED_BYTES, ServerFields},
    proto::{
        Consignment, Container, CreateChunk, ListChunk, ListRequest, Position,
        shipping_service_server::ShippingService as _,
    },
    store::{Filter, QUEUE_BYTES, Store, memory::MemoryStore},
};

/// A field that the contract does not have, as from a client of a later version.
const UNKNOWN_FIELD: [u8; 3] = [0xa0, 0x06, 0x01];
/// What a refusal may take of the trailers, of which stock clients accept 8 KiB.
const REFUSAL_BYTES: usize = 8 * 1024;

/// Reads `data` as a consignment to be stored and follows it to the store; what is listed of it in the end.
pub(crate) fn consignment(data: &[u8]) -> Option<Consignment> {
    let sent = Consignment::decode(data).ok()?;
    let has_id = !sent.id.is_empty();
    let Prepared { new, consignment } = match prepare(sent, &Origin::default()) {
        Ok(prepared) => prepared,
        Err(violations) => {
            let status = invalid("the consignment cannot be stored", violations);
            assert!(status.message().len() + status.details().len() < REFUSAL_BYTES);
            return None;
        }
    };
    assert!(new.body.len() <= MAX_ENCODED_BYTES && !new.id.is_empty());
    // It is the same however it was encoded.
    assert_eq!(
        Consignment::decode(new.body.clone()).as_ref(),
        Ok(&consignment)
    );
    let later = [data, &UNKNOWN_FIELD].concat();
    let again = prepare(Consignment::decode(&later[..]).unwrap(), &Origin::default())
        .ok()
        .unwrap();
    assert!(!has_id || again.new.body == new.body);
    check_filters(&consignment, &new.body);

    let mut listed = new.body.to_vec();
    ServerFields::default().write(&mut listed, 7, 1_795_356_486_123_456, "crane");
    let listed = Consignment::decode(&listed[..]).unwrap();
    assert_eq!((listed.sequence, &*listed.created_by), (7, "crane"));
    Some(listed)
}

/// Each text is one to find it by, and what it does not hold is not.
fn check_filters(consignment: &Consignment, body: &[u8]) {
    let admits = |filter: Filter| filter.admits(0, body).unwrap();
    let Consignment {
        vessel_id,
        containers,
        ..
    } = consignment;
    let other = format!("{vessel_id}{containers:?}");
    let (vessel_id, another) = (Some(vessel_id.clone()), Some(other));
    for container in containers {
        let Container {
            customer_id,
            user_id,
            origin,
            ..
        } = container.clone();
        assert!(admits(Filter {
            vessel_id: vessel_id.clone(),
            customer_id: Some(customer_id),
            user_id: Some(user_id),
            origin: Some(origin),
            ..Filter::default()
        }));
    }
    assert!(admits(Filter {
        vessel_id,
        ..Filter::default()
    }));
    assert!(!admits(Filter {
        customer_id: another,
        ..Filter::default()
    }));
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().unwrap();
}

/// Reads `data` as a chunk whose first member is a request to list, and whose others are what the register holds. The
/// list is what somebody would make of all of it by hand.
pub(crate) fn list(data: &[u8]) {
    let Ok(chunk) = ListChunk::decode(data) else {
        return;
    };
    let derived = CreateChunk::decode(data).unwrap();
    assert!(chunk.consignments.iter().eq(&derived.consignments));
    assert_eq!(
        ListChunk::decode(&chunk.encode_to_vec()[..]).as_ref(),
        Ok(&chunk)
    );
    let Some((request, records)) = derived.consignments.split_first() else {
        return;
    };
    let Ok(request) = ListRequest::decode(request.clone()) else {
        return;
    };
    RUNTIME.with(|runtime| runtime.block_on(check_list(request, records)));
}

async fn check_list(mut request: ListRequest, records: &[Bytes]) {
    let store = Arc::new(MemoryStore::new());
    let decoded = records
        .iter()
        .filter_map(|record| Consignment::decode(record.clone()).ok());
    let batch = decoded.filter_map(|record| Some(prepare(record, &Origin::default()).ok()?.new));
    store.append(batch.collect()).await.unwrap();
    let last = store.last_sequence().await.unwrap();
    let service = RegisterService::new(
        Arc::clone(&store) as Arc<dyn Store>,
        QUEUE_BYTES,
        watch::channel(false).1,
        Gauge::default(),
    );

    let everything = listed(&service, ListRequest::default()).await.unwrap();
    assert_eq!(everything.len() as u64, last);
    let refusal = refusal(&request, store.register(), last);
    // It would not end.
    request.follow &= refusal.is_some();
    match listed(&service, request.clone()).await {
        Ok(found) => {
            assert_eq!(refusal, None);
            assert_eq!(found, by_hand(&request, everything));
        }
        Err(status) => assert_eq!(Some(status.code()), refusal, "{status}"),
    }
}

/// What the list `request` sends, which says correctly how far it has come.
async fn listed(
    service: &RegisterService,
    request: ListRequest,
) -> Result<Vec<Consignment>, Status> {
    let newest_first = request.newest_first;
    let reply = service.list_consignments(Request::new(request)).await?;
    let chunks: Vec<ListChunk> = reply.into_inner().try_collect().await?;
    let mut found = Vec::new();
    for chunk in chunks {
        let through = chunk.through_sequence;
        for record in chunk.consignments {
            let record = Consignment::decode(record).unwrap();
            assert!(if newest_first {
                record.sequence >= through
            } else {
                record.sequence <= through
            });
            found.push(record);
        }
    }
    Ok(found)
}

/// The code with which `request` is refused.
fn refusal(request: &ListRequest, register: &str, last: u64) -> Option<Code> {
    let is_beyond = |position: &Option<Position>, end| {
        position.as_ref().is_some_and(|position| {
            position.sequence > end || !["", register].contains(&&*position.register)
        })
    };
    if request.ids.len() > MAX_LISTED_IDS
        || (request.follow && (request.newest_first || request.before.is_some()))
    {
        Some(Code::InvalidArgument)
    } else if is_beyond(&request.after, last) || is_beyond(&request.before, last + 1) {
        Some(Code::OutOfRange)
    } else {
        None
    }
}

/// What of `everything` the list `request` is after.
fn by_hand(request: &ListRequest, mut everything: Vec<Consignment>) -> Vec<Consignment> {
    let after = request
        .after
        .as_ref()
        .map_or(0, |position| position.sequence);
    let before = request
        .before
        .as_ref()
        .map_or(u64::MAX, |position| position.sequence);
    let nanos =
        |time: &Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    everything.retain(|record| {
        let has = |wanted: &str, text: fn(&Container) -> &String| {
            wanted.is_empty() || record.containers.iter().any(|one| text(one) == wanted)
        };
        let stored = record.created_at.as_ref().map(nanos);
        record.sequence > after
            && record.sequence < before
            && (request.ids.is_empty() || request.ids.contains(&record.id))
            && (request.vessel_id.is_empty() || request.vessel_id == record.vessel_id)
            && has(&request.customer_id, |one| &one.customer_id)
            && has(&request.user_id, |one| &one.user_id)
            && has(&request.origin, |one| &one.origin)
            && request
                .created_from
                .as_ref()
                .is_none_or(|from| stored >= Some(nanos(from)))
            && request
                .created_until
                .as_ref()
                .is_none_or(|until| stored < Some(nanos(until)))
    });
    if request.newest_first {
        everything.reverse();
    }
    if request.limit > 0 {
        everything.truncate(usize::try_from(request.limit).unwrap());
    }
    everything
}
