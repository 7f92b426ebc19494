//! What must hold of any instance that a registry hands out, whatever it was told.

use super::Instance;
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
