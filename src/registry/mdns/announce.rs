//! What a server announces itself as, and whether that is found.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    offer::Offer,
    responder::{Responder, Service},
    search::Search,
    txt::Record,
};
use crate::registry::RegistryError;

/// How long an announcement may take until it can be found; it takes a few milliseconds.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(2);

/// Announces `record` with what `offer` has, on port `port`.
///
/// Without probing, which takes 0.75 s and finds out whether a name is taken (RFC 6762 §8.1): this one is made of an id
/// that is nobody else's.
pub(super) async fn announce(
    offer: Offer,
    record: Record,
    port: u16,
) -> Result<Responder, RegistryError> {
    let label = label(&record.id);
    let service = Service {
        label,
        record,
        offer,
        port,
    };
    Responder::start(service).await
}

/// Waits until `search` finds the instance `id`, which is what an announcement is for.
///
/// # Errors
///
/// [`RegistryError::NoMulticast`] at once when no interface takes a question, [`RegistryError::NotConfirmed`] after
/// the deadline.
pub(super) async fn confirm(id: &str, mut search: Search) -> Result<(), RegistryError> {
    let confirmed = async {
        while search.next().await?.id != id {}
        Ok(())
    };
    timeout(CONFIRM_DEADLINE, confirmed)
        .await
        .unwrap_or(Err(RegistryError::NotConfirmed(CONFIRM_DEADLINE)))
}

/// The instance and host name of the server `id`. The host name is a server's own, because a goodbye withdraws the
/// addresses of the host as well, and servers that shared one would take each other off the network.
fn label(id: &str) -> String {
    // FNV-1a: the same short name for any form of id, of characters that a host name may have.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("shippy-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_name_of_its_own_that_dns_can_carry() {
        let names = ["a", "b", "depot 1 / north", &"x".repeat(64)].map(label);
        for (index, name) in names.iter().enumerate() {
            assert!(
                name.len() <= 63
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            );
            assert_eq!(names.iter().position(|other| other == name), Some(index));
        }
        assert_eq!(
            label("a"),
            "shippy-af63dc4c8601ec8c",
            "FNV-1a of \"a\", as published"
        );
    }
}
