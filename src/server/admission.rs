//! Who is served next: a request finds a place among those of its sort, where it sends little once that is there.

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::{
    arrival::{Arrived, Fed, Missing},
    counts::Refused,
    limits::REQUEST_TIMEOUT,
    room::{Room, Sort},
};
use crate::{
    service,
    web::{self, Web},
};

/// A request that may be served.
pub(super) struct Admission<'r> {
    pub(super) request: Request<Body>,
    /// What it has its place among.
    pub(super) sort: &'r Sort,
    pub(super) place: OwnedSemaphorePermit,
    /// Its share of the memory for messages.
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// Finds a place for `request`, which is of `sort`.
///
/// What has but one message, as some calls of gRPC have, or a small body over HTTP is waited for first. One consignment
/// in a small body is a single create, so that whoever keeps the places of loads keeps none of those out.
///
/// # Errors
///
/// Why there is none, which is counted.
pub(super) async fn admit<'r>(
    room: &'r Room,
    web: &Web,
    sort: &'r Sort,
    mut request: Box<Request<Incoming>>,
    is_grpc: bool,
) -> Result<Admission<'r>, Status> {
    let is_awaited = if is_grpc {
        sort.is_single
    } else {
        !web.is_health_alone() && web::is_small_post(&request)
    };
    if !is_awaited {
        let place = room.take(sort).await.map_err(|why| refuse(room, why))?;
        let line = if is_grpc { &sort.silent } else { &sort.posting };
        let request = request.map(|body| Fed::body(body, line.clone()));
        return Ok(Admission {
            request,
            sort,
            place,
            share: None,
        });
    }
    let arriving = room.arrival.wait(request.body_mut(), is_grpc);
    let arrived = if is_grpc {
        arriving.await
    } else {
        // By itself, or every request would have room for it.
        Box::pin(web.arrived(arriving)).await?
    };
    let Arrived { message, share } = arrived.map_err(|missing| match missing {
        Missing::Refused(why) => refuse(room, why),
        // There is nobody to tell.
        Missing::Broken(_) if is_grpc => Status::cancelled("the request broke off"),
        Missing::Broken(error) => web::broken_off(&error),
    })?;
    let is_one = !is_grpc && web::is_one(&message);
    let sort = if is_one { room.creates() } else { sort };
    let place = room.take(sort).await.map_err(|why| refuse(room, why))?;
    Ok(Admission {
        request: request.map(|_| Body::from(message)),
        sort,
        place,
        share,
    })
}

fn refuse(room: &Room, why: Refused) -> Status {
    room.count(why);
    match why {
        Refused::Size => service::too_large(room.arrival.message_bytes()),
        Refused::Time => service::timed_out(REQUEST_TIMEOUT),
        _ => service::overloaded(),
    }
}
