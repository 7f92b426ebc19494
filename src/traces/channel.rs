//! The connection to the collector. What of it takes longer than the collector may is given up: the exporter bounds a
//! request, but neither the connecting before it nor a connection that nobody is at the end of.

use std::fs;

use hyper_util::client::legacy::connect::HttpConnector;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error};

use super::{Settings, Unusable};

/// One that connects when it is used first, on the runtime that this is called on.
pub(super) fn channel(settings: &Settings) -> Result<Channel, Unusable> {
    let endpoint = match trust(settings)? {
        None => endpoint("http", settings),
        Some(trust) => endpoint("https", settings).and_then(|endpoint| endpoint.tls_config(trust)),
    };
    let endpoint = endpoint.map_err(|error| Unusable::Exporter(error.into()))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // With a connector of its own, tonic counts the TLS handshake as connecting too.
    Ok(endpoint.connect_with_connector_lazy(tcp))
}

fn endpoint(scheme: &str, settings: &Settings) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", settings.collector))?
        .connect_timeout(settings.timeout)
        .timeout(settings.timeout)
        // Pings are sent only while a request waits: collectors hang up on those who ping without one.
        .http2_keep_alive_interval(settings.timeout)
        .keep_alive_timeout(settings.timeout);
    Ok(endpoint)
}

/// Whose certificates count, where TLS is spoken.
fn trust(settings: &Settings) -> Result<Option<ClientTlsConfig>, Unusable> {
    if !settings.is_tls {
        return Ok(None);
    }
    let trust = ClientTlsConfig::new();
    let Some(path) = &settings.authority else {
        return Ok(Some(trust.with_enabled_roots()));
    };
    let pem = fs::read(path).map_err(|cause| {
        let path = path.clone();
        Unusable::Authority { path, cause }
    })?;
    Ok(Some(trust.ca_certificate(Certificate::from_pem(pem))))
}
