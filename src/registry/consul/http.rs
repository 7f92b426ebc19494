//! One request over one connection: an agent is asked seldom, and is near.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{causes::chain, registry::access::Endpoint};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest answer that is read, in bytes: some ten thousand servers.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It may come another time.
    Passing(String),
    /// The other side is not whom it has to be.
    Untrusted(String),
}

/// Speaks TLS to whom `authority` (PEM) vouches for, or the system's authorities where there is none.
///
/// # Errors
///
/// When there is no authority to trust.
pub(super) fn connector(authority: Option<&[u8]>) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let certificates = match authority {
        Some(pem) => CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate authority makes no sense: {error}"))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(
            "there is no certificate authority to trust: name one with --registry-ca FILE".into(),
        );
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Sends `request` to `endpoint`, by `tls` if it speaks that, and reads the whole answer.
pub(super) async fn send(
    endpoint: &Endpoint,
    tls: Option<&TlsConnector>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, NoAnswer> {
    let address = &endpoint.address;
    let connect = TcpStream::connect((address.host.as_str(), address.port));
    let stream = timeout(CONNECT_TIMEOUT, connect)
        .await
        .map_err(|_| NoAnswer::Passing(format!("no connection within {CONNECT_TIMEOUT:?}")))?
        .map_err(|error| NoAnswer::Passing(error.to_string()))?;
    let Some(tls) = tls.filter(|_| endpoint.tls) else {
        return exchange(stream, request).await;
    };
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| NoAnswer::Untrusted(error.to_string()))?;
    let stream = timeout(CONNECT_TIMEOUT, tls.connect(name, stream))
        .await
        .map_err(|_| NoAnswer::Passing("no TLS handshake in time".to_owned()))?
        .map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            match inner {
                Some(rustls::Error::InvalidCertificate(_)) => {
                    NoAnswer::Untrusted(error.to_string())
                }
                _ => NoAnswer::Passing(format!("{error}; if it speaks no TLS, leave https:// out")),
            }
        })?;
    exchange(stream, request).await
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let passing = |error: hyper::Error| NoAnswer::Passing(chain(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(passing)?;
    // It ends when the sender and the answer are gone.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "a connection to Consul broke");
        }
    });
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(passing)?
        .into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await;
    let body = body.map_err(|error| NoAnswer::Passing(chain(&*error)))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
