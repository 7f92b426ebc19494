//! Shows the contract to tools that have no copy of it, such as grpcurl: the standard reflection service.

use anyhow::Context as _;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use crate::proto::DESCRIPTORS;

/// Adds it under the names of both versions of its protocol: older tools know only the older. Its messages have at most
/// `message_bytes`.
///
/// # Errors
///
/// When the contract was built wrongly.
pub(super) fn add_to(routes: Routes, message_bytes: usize) -> anyhow::Result<Routes> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let wrong = "could not read the contract for reflection";
    let new = builder().build_v1().context(wrong)?;
    let old = builder().build_v1alpha().context(wrong)?;
    Ok(routes
        .add_service(new.max_decoding_message_size(message_bytes))
        .add_service(old.max_decoding_message_size(message_bytes)))
}
