//! What must hold of any answer of an agent, and of what others have registered with it.

use std::time::Duration;

use serde_json::{Value, json};

use super::service;
use crate::registry::fuzz::{announced, check};

/// Reads `data` as the list of the service `depot`: what is found there can be registered, and is then found again.
pub(crate) fn list(data: &[u8]) {
    for found in service::read(data, "depot").unwrap_or_default() {
        check(&found);
        if let Some(expected) = announced(&found) {
            let registration = service::registration(&found, Duration::from_secs(60)).unwrap();
            let mut registered: Value = serde_json::from_slice(&registration).unwrap();
            // What is registered as the name is shown as the service.
            registered["Service"] = registered["Name"].take();
            let list = json!([{ "Service": registered }]).to_string();
            assert_eq!(
                service::read(list.as_bytes(), "depot"),
                Some(vec![expected])
            );
        }
    }
}
