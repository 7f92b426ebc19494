//! The TLS handshake of a connection.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    refusals::Refusals,
    stream::close,
    tls::{self, Tls},
};

/// Agrees on TLS with those who connect.
#[derive(Clone)]
pub(super) struct Handshake {
    tls: Arc<Tls>,
    refusals: Arc<Refusals>,
}

impl Handshake {
    pub(super) fn new(tls: Arc<Tls>, refusals: Arc<Refusals>) -> Self {
        Self { tls, refusals }
    }

    /// Speaks TLS over `stream` from now on: the stream within, and the names in the certificate that the peer has
    /// shown, if it has. `None` when the two do not agree, which the peer has been told then.
    pub(super) async fn shake(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(TlsStream<TcpStream>, Vec<String>)> {
        let accept = TlsAcceptor::from(Arc::clone(&self.tls.get().config)).accept(stream);
        match accept.into_fallible().await {
            Ok(stream) => {
                let shown = stream.get_ref().1.peer_certificates();
                let names = shown.and_then(<[_]>::first).map(tls::names);
                Some((stream, names.unwrap_or_default()))
            }
            Err((error, stream)) => {
                // An alert that says why is on its way already.
                if let Some(reason) = reason(&error) {
                    self.refusals.note(peer, &reason);
                    close(stream, b"").await;
                }
                None
            }
        }
    }
}

/// What went wrong, for the log; `None` where the peer just went away, as those do that look whether somebody listens.
fn reason(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".into(),
        Error::NoCertificatesPresented => "it showed no certificate".into(),
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate comes from none of the authorities in --tls-client-ca".into(),
        Error::InvalidCertificate(error) => format!("its certificate is not good: {error}"),
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "it does not trust the authority of this server's certificate".into()
        }
        Error::AlertReceived(alert) => {
            format!("it does not go on with this server's certificate: {alert:?}")
        }
        error => format!("TLS: {error}"),
    })
}
