//! Calls to shippy, and to what answers as it does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures_util::stream;
use prost::Message as _;
use shippy::{
    consignment,
    proto::{
        Consignment, CreateChunk, ListRequest, Outcome, Position, outcome,
        shipping_service_client::ShippingServiceClient,
    },
};
use tokio::{runtime::Runtime, time::sleep};
use tonic::transport::{Channel, Endpoint};

use crate::{
    gather::Gathering,
    load::{Sample, Span, closed_loop},
    record::{self, Ids},
};

/// Calls that share one connection.
const CALLS_A_CONNECTION: usize = 64;
/// What may be sent before it is read, and in one frame, in bytes, as shippy's own client has it.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const FRAME: u32 = 128 * 1024;
/// Different consignments that are made beforehand, so that making them is no part of what is measured.
const PREPARED: u64 = 1_024;
/// Consignments of one chunk: about 64 KiB, as `shippy create` sends them.
const CHUNK_RECORDS: u64 = 180;

/// What the callers run on, as in `shippy create`.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    shippy::cli::runtime()
}

fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME))
}

pub(crate) async fn connect(address: &str) -> anyhow::Result<Channel> {
    let channel = endpoint(address)?.connect().await;
    channel.with_context(|| address.to_owned())
}

/// Connections for so many calls at once.
pub(crate) async fn connections(address: &str, in_flight: usize) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..in_flight.div_ceil(CALLS_A_CONNECTION) {
        let channel = endpoint(address)?.connect_with_connector(Gathering).await;
        channels.push(channel.with_context(|| address.to_owned())?);
    }
    Ok(channels)
}

/// Creates a consignment a call; how it went, and how many there were, those that are not in the sample included.
pub(crate) fn creates(
    address: &str,
    in_flight: usize,
    span: Span,
    ids: Ids,
) -> anyhow::Result<(Sample, u64)> {
    creates_over(&[address], in_flight, span, ids)
}

/// The same over several servers of one register, to each as many.
pub(crate) fn creates_over(
    addresses: &[&str],
    in_flight: usize,
    span: Span,
    ids: Ids,
) -> anyhow::Result<(Sample, u64)> {
    let run = consignment::new_id();
    let prepared = Arc::new(prepared());
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let sample = runtime()?.block_on(async {
        let each = in_flight.div_ceil(addresses.len());
        let mut clients = Vec::new();
        for address in addresses {
            let channels = connections(address, each).await?;
            clients.extend(channels.into_iter().map(ShippingServiceClient::new));
        }
        closed_loop(in_flight, span, move |caller| {
            let mut client = clients[caller % clients.len()].clone();
            let count = counted.fetch_add(1, Ordering::Relaxed);
            let consignment = filled(&prepared, &ids.make(&run, count), count);
            async move {
                let reply = client.create_consignment(consignment).await?.into_inner();
                ensure!(reply.created, "a new consignment was not stored");
                Ok(())
            }
        })
        .await
    })?;
    Ok((sample, count.load(Ordering::Relaxed)))
}

fn prepared() -> Vec<Consignment> {
    (0..PREPARED)
        .map(|number| record::consignment(number, String::new()))
        .collect()
}

fn filled(prepared: &[Consignment], id: &str, count: u64) -> Consignment {
    let at = usize::try_from(count % PREPARED).unwrap_or_default();
    Consignment {
        id: id.to_owned(),
        ..prepared[at].clone()
    }
}

/// What a server does after a create, like adding it to the index, it does within so long.
const REST: Duration = Duration::from_millis(30);

/// Creates `count` consignments, one after the other, and leaves the server its time after each: how many it would
/// otherwise take to the index together is a question of how fast the machine is.
pub(crate) fn create_in_turn(address: &str, count: u64) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut client = ShippingServiceClient::new(connect(address).await?);
        for number in 0..count {
            let consignment = record::consignment(number, consignment::new_id());
            client.create_consignment(consignment).await?;
            sleep(REST).await;
        }
        Ok(())
    })
}

/// Lists what `request` asks for; how many came.
pub(crate) async fn list(channel: &Channel, request: ListRequest) -> anyhow::Result<u64> {
    let mut client = ShippingServiceClient::new(channel.clone());
    let mut chunks = client.list_consignments(request).await?.into_inner();
    let mut count = 0;
    while let Some(chunk) = chunks.message().await? {
        count += chunk.consignments.len() as u64;
    }
    Ok(count)
}

/// The first `limit` of one ship.
pub(crate) fn of_vessel(number: u64, limit: u64) -> ListRequest {
    ListRequest {
        vessel_id: record::vessel(number % record::VESSELS),
        limit,
        ..ListRequest::default()
    }
}

/// `limit` of them after the sequence number `after`.
pub(crate) fn page(after: u64, limit: u64) -> ListRequest {
    ListRequest {
        after: Some(Position {
            sequence: after,
            ..Position::default()
        }),
        limit,
        ..ListRequest::default()
    }
}

/// Stores `count` consignments over one stream.
pub(crate) fn load(address: &str, count: u64) -> anyhow::Result<()> {
    let run = consignment::new_id();
    let prepared = prepared();
    let chunks = (0..count.div_ceil(CHUNK_RECORDS)).map(move |chunk| {
        let numbers = chunk * CHUNK_RECORDS..((chunk + 1) * CHUNK_RECORDS).min(count);
        let encoded = |number| {
            let id = Ids::Batch.make(&run, number);
            filled(&prepared, &id, number).encode_to_vec().into()
        };
        CreateChunk {
            consignments: numbers.map(encoded).collect(),
        }
    });
    runtime()?.block_on(async {
        let mut client = ShippingServiceClient::new(connect(address).await?);
        let reply = client.create_consignments(stream::iter(chunks)).await?;
        let mut outcomes = reply.into_inner();
        let mut created = 0;
        while let Some(chunk) = outcomes.message().await? {
            let is_created = |outcome: &&Outcome| outcome.result() == outcome::Result::Created;
            created += chunk.outcomes.iter().filter(is_created).count() as u64;
        }
        ensure!(created == count, "{created} of {count} were stored");
        Ok(())
    })
}

/// The sequence number of the newest consignment.
pub(crate) fn last_sequence(address: &str) -> anyhow::Result<u64> {
    runtime()?.block_on(async {
        let mut client = ShippingServiceClient::new(connect(address).await?);
        let request = ListRequest {
            newest_first: true,
            limit: 1,
            ..ListRequest::default()
        };
        let mut chunks = client.list_consignments(request).await?.into_inner();
        let chunk = chunks.message().await?.unwrap_or_default();
        let newest = chunk.consignments.into_iter().next().unwrap_or_default();
        Ok(Consignment::decode(newest)?.sequence)
    })
}

/// Lists the first `count`.
pub(crate) fn list_some(address: &str, count: u64) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let channel = connect(address).await?;
        let listed = list(&channel, page(0, count)).await?;
        ensure!(listed == count, "{listed} were listed");
        Ok(())
    })
}
