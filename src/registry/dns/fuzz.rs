//! What must hold of any name to look servers up by.

use super::target::{Records, Target};
use crate::escape::acts;

/// Reads `data` as a name with its DNS server: what is understood can be shown, and written in full means the same.
pub(crate) fn target(data: &[u8]) {
    let Some(target) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Target::parse(text).ok())
    else {
        return;
    };
    let shown = target.to_string();
    assert!(!shown.contains(acts), "{shown:?}");
    let server = target
        .authority
        .map(|server| server.to_string())
        .unwrap_or_default();
    let port = match target.records {
        Records::Addresses(port) => format!(":{port}"),
        Records::Srv | Records::Either => String::new(),
    };
    let whole = format!("dns://{server}/{}{port}", target.name);
    assert_eq!(Target::parse(&whole).ok(), Some(target), "{whole}");
}
