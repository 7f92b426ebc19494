//! Watches keys change.

use futures_util::{StreamExt as _, stream};
use tonic::{Request, Status, Streaming, metadata::MetadataValue};

use super::{
    cluster::{Cluster, Failure, said},
    proto::{Event, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion},
};

/// Changes under way from a member. It ends when this is dropped.
pub(super) struct Watch {
    answers: Streaming<WatchResponse>,
}

/// What a watch has next.
pub(super) enum Change {
    /// These events came.
    Events(Vec<Event>),
    /// The watch has ended, for this reason. What comes until the next one is lost, so the keys have to be read again.
    Ended(String),
}

impl Watch {
    /// Watches the keys from `key` up to `range_end` (empty: `key` alone) from now on.
    pub(super) async fn start(
        cluster: &Cluster,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<Self, Failure> {
        let create = WatchCreateRequest {
            key: key.to_vec(),
            range_end: range_end.to_vec(),
        };
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let answers = cluster.call(|session| {
            // etcd ends the watch when the requests end.
            let requests = stream::iter([create.clone()]).chain(stream::pending());
            let mut request = Request::new(requests);
            // A member that has lost the others ends the watch, rather than to be silent for ever.
            let leader = MetadataValue::from_static("true");
            request.metadata_mut().insert("hasleader", leader);
            async move {
                let mut answers = session.watch().watch(request).await?.into_inner();
                // Without this word the watch is not there yet.
                match answers.message().await? {
                    Some(answer) if answer.canceled => Err(refusal(&answer)),
                    Some(_) => Ok(answers),
                    None => Err(Status::unavailable("the watch ended at once")),
                }
            }
        });
        Ok(Self {
            answers: answers.await?,
        })
    }

    /// What comes next. Losing the future loses nothing.
    pub(super) async fn next(&mut self) -> Change {
        match self.answers.message().await {
            Ok(Some(answer)) if answer.canceled => Change::Ended(said(&refusal(&answer))),
            Ok(Some(answer)) => Change::Events(answer.events),
            Ok(None) => Change::Ended("the member ended it".to_owned()),
            Err(status) => Change::Ended(said(&status)),
        }
    }
}

/// Why a member cancelled a watch, as other calls say it.
fn refusal(answer: &WatchResponse) -> Status {
    let reason = &answer.cancel_reason;
    if reason.contains("permission denied") {
        Status::permission_denied(reason)
    } else {
        Status::unavailable(reason)
    }
}
