//! The wire contract, spoken to the real server by a client that shares nothing with shippy's own but the types.

use prost::Message as _;
use shippy::proto::{
    self, Consignment, Container, ListRequest, shipping_service_client::ShippingServiceClient,
};
use tonic::{Status, transport::Channel};

mod create;
mod filters;
mod follow;
mod health;
mod limits;
mod list;
mod load;
pub(crate) mod raw;
mod reflection;
mod replies;
mod sameness;
mod whole;

type Client = ShippingServiceClient<Channel>;

/// A consignment with something in every field that a client sets.
pub(crate) fn sample(id: &str) -> Consignment {
    Consignment {
        id: id.into(),
        description: "Tea".into(),
        weight: 550,
        containers: vec![Container {
            id: "container001".into(),
            customer_id: "cust001".into(),
            origin: "Manchester, United Kingdom".into(),
            user_id: "user001".into(),
        }],
        vessel_id: "vessel001".into(),
        ..Consignment::default()
    }
}

/// Stores `consignment`; the reply.
async fn create(client: &mut Client, consignment: Consignment) -> proto::Response {
    let reply = client.create_consignment(consignment).await;
    reply.unwrap().into_inner()
}

/// The chunks of a list, each consignment still as it was on the wire.
async fn chunks(
    client: &mut Client,
    request: ListRequest,
) -> Result<Vec<proto::ListChunk>, Status> {
    let mut stream = client.list_consignments(request).await?.into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await? {
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// What a list holds.
async fn listed(client: &mut Client, request: ListRequest) -> Vec<Consignment> {
    let chunks = chunks(client, request).await.unwrap();
    let encoded = chunks.into_iter().flat_map(|chunk| chunk.consignments);
    encoded
        .map(|bytes| Consignment::decode(bytes).unwrap())
        .collect()
}

/// The whole register.
async fn all(client: &mut Client) -> Vec<Consignment> {
    listed(client, ListRequest::default()).await
}

/// Each consignment's id.
fn ids(consignments: &[Consignment]) -> Vec<&str> {
    consignments.iter().map(|known| known.id.as_str()).collect()
}

/// Each consignment's sequence number.
fn sequences(consignments: &[Consignment]) -> Vec<u64> {
    consignments.iter().map(|known| known.sequence).collect()
}
