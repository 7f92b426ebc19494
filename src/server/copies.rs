//! Looks out for a second server of this register. The register lives in one server's file, so another one with its id
//! serves a copy of that file, and from then on the two grow apart.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::registry::{Instance, Kind, Registry};

/// How long to look after the start. Servers that are up answer within milliseconds; this leaves room for lost
/// packets, which are asked for again every second.
const LOOK: Duration = Duration::from_secs(3);

/// Looks for a while, and says so in the log when there is such a server: whichever of the two starts later sees the
/// other. Being dropped ends the search.
pub(super) async fn look_out(registry: &dyn Registry, ours: &Instance) {
    if ours.kind == Kind::Shared {
        return;
    }
    if let Ok(Some(other)) = timeout(LOOK, find(registry, ours)).await {
        tracing::error!(
            "another server keeps the register {}, at {}: its file was copied and both copies are served; \
             stop one of the two, as clients use neither while both are there",
            ours.register,
            other.addresses.join(", "),
        );
    }
}

/// The first server that is found beside us. What cannot be searched is passed over: that the registry fails is said
/// where we announce ourselves.
async fn find(registry: &dyn Registry, ours: &Instance) -> Option<Instance> {
    let mut found = registry.find(&ours.name);
    while let Some(other) = found.next().await {
        if other.as_ref().is_ok_and(|other| is_copy(other, ours)) {
            return other.ok();
        }
    }
    None
}

fn is_copy(other: &Instance, ours: &Instance) -> bool {
    other.register == ours.register && other.id != ours.id && other.kind == Kind::Single
}
