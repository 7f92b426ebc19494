//! What must hold of any instance that a registry hands out, whatever it was told.

use std::net::SocketAddr;

use super::{Instance, metadata};
use crate::{address::Address, escape::acts};

/// Its texts can be shown, and its addresses connected to. (Its name is the one that was asked for.)
pub(super) fn check(found: &Instance) {
    for text in [&found.id, &found.version, &found.register] {
        assert!(!text.is_empty() && !text.contains(acts), "{found:?}");
    }
    assert!(!found.addresses.is_empty(), "{found:?}");
    for text in &found.addresses {
        let address: Address = text.parse().expect("an address that was handed out");
        assert!(!address.host.is_empty() && address.port != 0, "{found:?}");
        assert_eq!(address.to_string(), *text);
    }
}

/// The same as it would be found if it were announced. `None` for one whose first address is longer than any host's
/// name, or stands for those of this machine, which may change at any time.
pub(super) fn announced(found: &Instance) -> Option<Instance> {
    let is_open = |text: &String| {
        let address = text.parse::<SocketAddr>();
        address.is_ok_and(|address| address.ip().is_unspecified())
    };
    if found.addresses.iter().any(is_open) {
        return None;
    }
    let addresses = metadata::addresses(found).ok()?;
    Some(Instance {
        addresses,
        ..found.clone()
    })
}
