//! What must hold of any value in etcd, where other programs write, too.

use super::node;
use crate::registry::fuzz::{announced, check};

/// Reads `data` as the value of a key of the service `depot`: what is found there can be announced, and is then found
/// again.
pub(crate) fn value(data: &[u8]) {
    for found in node::decode(data, Some("depot")) {
        check(&found);
        if let Some(expected) = announced(&found) {
            assert_eq!(
                node::decode(&node::encode(&found).unwrap(), Some("depot")),
                [expected]
            );
        }
    }
}
