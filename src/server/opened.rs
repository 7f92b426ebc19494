//! A connection whose peer has said that it speaks HTTP/2.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::stream::close;

/// What every HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What every TLS connection begins with: a handshake record (RFC 8446 §5.1).
const TLS: u8 = 22;
/// The answer to that, as an HTTP/2 server gives it (RFC 9113 §6.5, §6.8): empty settings, and a farewell that says why.
/// What speaks TLS takes it for what it is, something else than TLS.
const NO_TLS: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x21\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01this server speaks no TLS";

/// Such a connection, to be read from the beginning.
///
/// It does not offer vectored writes: h2 gathers frames of up to 1 KiB where it has none, so that the replies to many
/// creates go out with one system call; with them it writes each frame of more than 256 bytes by itself.
pub(super) struct Opened<S> {
    stream: S,
    /// What was read and is to be read again.
    said: &'static [u8],
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opened<S> {
    /// Waits for the peer to say that it speaks HTTP/2; `None` when it says something else, or goes away. hyper would
    /// wait for it without an end, and a peer could hold the connection, and every drain, with a single byte.
    pub(super) async fn new(mut stream: S) -> Option<Self> {
        let mut said = [0; PREFACE.len()];
        let mut length = 0;
        while length < said.len() {
            length += match stream.read(&mut said[length..]).await {
                Ok(count) if count > 0 => count,
                _ => return None,
            };
            // Whoever speaks something else is let go at once, however little it says.
            if !PREFACE.starts_with(&said[..length]) {
                if said[0] == TLS {
                    close(stream, NO_TLS).await;
                }
                return None;
            }
        }
        Some(Self {
            stream,
            said: PREFACE,
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.said.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let (now, later) = self.said.split_at(self.said.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.said = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[test]
    fn the_farewell_is_as_long_as_it_says() {
        let (settings, farewell) = NO_TLS.split_at(9);
        assert_eq!(settings[..3], [0, 0, 0]);
        assert_eq!(farewell.len(), 9 + usize::from(farewell[2]));
    }

    #[tokio::test]
    async fn who_speaks_tls_is_told_and_others_are_let_go() {
        for (said, answer) in [(&[TLS, 3, 1][..], NO_TLS), (b"GET / HTTP/1.1", b"")] {
            let (mut client, server) = duplex(1024);
            let opening = tokio::spawn(Opened::new(server));
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.unwrap();
            assert_eq!(told, answer);
            assert!(opening.await.unwrap().is_none());
        }
    }
}
