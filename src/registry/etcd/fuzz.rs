//! What must hold of any value in etcd, where other programs write, too.

use super::node;
use crate::registry::{Instance, fuzz::check, metadata};

/// Reads `data` as the value of a key of the service `depot`: what is found there can be announced, and is then found
/// again.
pub(crate) fn value(data: &[u8]) {
    for found in node::decode(data, "depot") {
        check(&found);
        let addresses = metadata::addresses(&found);
        if addresses.is_empty() {
            // The first is longer than any host's name.
            continue;
        }
        let announced = node::decode(&node::encode(&found), &found.name);
        assert_eq!(announced, [Instance { addresses, ..found }]);
    }
}
