//! How a connection is made: in clear or by TLS, and with what of it a token may be sent.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::{
    mismatch::{Found, Mismatch, speaks_tls},
    tls::Tls,
};

/// How long one connect may take: far more than it does on a local network.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

type BoxError = Box<dyn Error + Send + Sync>;

/// Connects to one server, and finds out why that cannot be.
#[derive(Clone)]
pub(super) struct Dialer {
    tcp: HttpConnector,
    tls: Option<Tls>,
    /// Only to this machine: what is sent is not for others to read.
    stays_here: bool,
    found: Arc<Found>,
}

impl Dialer {
    pub(super) fn new(tls: Option<Tls>, stays_here: bool) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self {
            tcp,
            tls,
            stays_here,
            found: Arc::default(),
        }
    }

    /// What was found out about the server, as soon as it was.
    pub(super) fn found(&self) -> Arc<Found> {
        Arc::clone(&self.found)
    }

    async fn dial(mut self, uri: Uri) -> Result<TokioIo<Stream>, BoxError> {
        let stream = self.tcp.call(uri).await?.into_inner();
        if self.stays_here && !is_here(stream.peer_addr()?) {
            let reason = "the connection is in clear and leaves this machine";
            let _ = self.found.set(Mismatch::token_in_clear(reason));
            return Err(reason.into());
        }
        let Some(tls) = self.tls else {
            return Ok(TokioIo::new(Stream::Clear {
                stream,
                is_known: false,
                found: self.found,
            }));
        };
        match tls.connector.connect(tls.name.clone(), stream).await {
            Ok(stream) => Ok(TokioIo::new(Stream::Secure {
                stream: Box::new(stream),
                tls: Box::new(tls),
                found: self.found,
            })),
            Err(error) => {
                note(&self.found, &error, &tls);
                Err(explained(error))
            }
        }
    }
}

fn is_here(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

fn note(found: &Found, error: &io::Error, tls: &Tls) {
    if let Some(mismatch) = Mismatch::of_tls(error, tls) {
        let _ = found.set(mismatch);
    }
}

/// A handshake that ends without a word may be a server that ends, or something that knows no TLS.
fn explained(error: io::Error) -> BoxError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "it closed the connection during the TLS handshake, as what speaks no TLS does".into()
        }
        _ => error.into(),
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<TokioIo<Stream>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let next = self.clone();
        // The one that was waited for until it is ready is the one to use.
        Box::pin(std::mem::replace(self, next).dial(uri))
    }
}

/// A connection's bytes, in clear or by TLS, looked at for what the other side says of TLS.
pub(super) enum Stream {
    Clear {
        stream: TcpStream,
        /// Whether something was read, and what it is was seen then.
        is_known: bool,
        found: Arc<Found>,
    },
    Secure {
        stream: Box<TlsStream<TcpStream>>,
        tls: Box<Tls>,
        found: Arc<Found>,
    },
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear {
                stream,
                is_known: true,
                ..
            } => Pin::new(stream).poll_read(context, buffer),
            Self::Clear {
                stream,
                is_known,
                found,
            } => {
                let before = buffer.filled().len();
                ready!(Pin::new(stream).poll_read(context, buffer))?;
                *is_known = true;
                if (buffer.filled().get(before)).is_some_and(|&first| speaks_tls(first)) {
                    let _ = found.set(Mismatch::needs_tls());
                }
                Poll::Ready(Ok(()))
            }
            Self::Secure { stream, tls, found } => {
                let read = ready!(Pin::new(stream).poll_read(context, buffer));
                Poll::Ready(read.inspect_err(|error| note(found, error, tls)))
            }
        }
    }
}

impl Stream {
    /// What became of a write or a flush. Where TLS failed in it, the other side may have said why before it closed the
    /// connection, and nobody would read that any more.
    fn after<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if matches!(result, Poll::Ready(Err(_))) && matches!(self, Self::Secure { .. }) {
            let mut rest = [0; 1024];
            let _ = Pin::new(self).poll_read(context, &mut ReadBuf::new(&mut rest));
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match this {
            Self::Clear { stream, .. } => Pin::new(stream).poll_write(context, bytes),
            Self::Secure { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        };
        this.after(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match this {
            Self::Clear { stream, .. } => Pin::new(stream).poll_flush(context),
            Self::Secure { stream, .. } => Pin::new(stream).poll_flush(context),
        };
        this.after(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear { stream, .. } => Pin::new(stream).poll_shutdown(context),
            Self::Secure { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match this {
            Self::Clear { stream, .. } => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Secure { stream, .. } => Pin::new(stream).poll_write_vectored(context, bytes),
        };
        this.after(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear { stream, .. } => stream.is_write_vectored(),
            Self::Secure { stream, .. } => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_here() {
        for (address, here) in [
            ("127.0.0.1:1", true),
            ("127.8.8.8:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("192.0.2.1:1", false),
            ("[::ffff:192.0.2.1]:1", false),
            ("[fe80::1]:1", false),
        ] {
            assert_eq!(is_here(address.parse().unwrap()), here, "{address}");
        }
    }
}
