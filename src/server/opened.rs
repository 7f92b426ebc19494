//! A connection whose peer has said which HTTP it speaks.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::stream::close;

/// What every HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Which of the two ways to speak HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

/// Why a connection is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// Its peer has gone, as those do that look whether somebody listens.
    Gone,
    /// It speaks something else.
    Strange,
}

/// What every TLS connection begins with: a handshake record (RFC 8446 §5.1).
const TLS: u8 = 22;
/// The answer to that, as an HTTP/2 server gives it (RFC 9113 §6.5, §6.8): empty settings, and a farewell that says why.
/// What speaks TLS takes it for what it is, something else than TLS.
const NO_TLS: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x21\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01this server speaks no TLS";

/// Such a connection, to be read from the beginning.
///
/// It offers vectored writes only once the peer has been heard. h2 asks for them when it begins, and where there are none
/// it gathers frames of up to 1 KiB, so that the replies to many creates go out with one system call; else it would write
/// each frame of more than 256 bytes by itself. With each write it asks again, and larger frames, like those of lists, go
/// out with what is before them in one call instead of two.
pub(super) struct Opened<S> {
    stream: S,
    pub(super) spoken: Spoken,
    /// What was read first.
    said: [u8; PREFACE.len()],
    /// Which part of that is to be read again.
    unread: Range<usize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opened<S> {
    /// Waits for the peer to say that it speaks HTTP/2, or what can only be HTTP/1. hyper would wait for it without an end, and a peer could hold the connection, and every drain, with a
    /// single byte.
    ///
    /// # Errors
    ///
    /// When it says something else, or goes away.
    pub(super) async fn new(mut stream: S) -> Result<Self, Unopened> {
        let mut said = [0; PREFACE.len()];
        let mut length = 0;
        while length < said.len() {
            length += match stream.read(&mut said[length..]).await {
                Ok(count) if count > 0 => count,
                _ => return Err(Unopened::Gone),
            };
            if !PREFACE.starts_with(&said[..length]) {
                // It begins with a method (RFC 9112 §3), all of which are written so.
                if said[0].is_ascii_uppercase() {
                    return Ok(Self::speaking(Spoken::Http1, stream, said, length));
                }
                // Whoever speaks something else is let go at once, however little it says.
                if said[0] == TLS {
                    close(stream, NO_TLS).await;
                }
                return Err(Unopened::Strange);
            }
        }
        Ok(Self::speaking(Spoken::Http2, stream, said, length))
    }

    fn speaking(spoken: Spoken, stream: S, said: [u8; PREFACE.len()], length: usize) -> Self {
        Self {
            stream,
            spoken,
            said,
            unread: 0..length,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let end = self.unread.end.min(self.unread.start + buffer.remaining());
        buffer.put_slice(&self.said[self.unread.start..end]);
        self.unread.start = end;
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

    fn is_write_vectored(&self) -> bool {
        self.unread.is_empty()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
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
    async fn vectored_writes_are_offered_once_the_peer_has_been_heard() {
        let (mut client, server) = duplex(1024);
        client.write_all(PREFACE).await.unwrap();
        let mut opened = Opened::new(server).await.unwrap();
        assert!(!opened.is_write_vectored());
        opened.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        assert!(opened.is_write_vectored());
    }

    #[tokio::test]
    async fn who_speaks_tls_is_told_and_others_are_let_go() {
        for (said, answer) in [(&[TLS, 3, 1][..], NO_TLS), (b"\0", b""), (b"{}", b"")] {
            let (mut client, server) = duplex(1024);
            let opening = tokio::spawn(Opened::new(server));
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.unwrap();
            assert_eq!(told, answer);
            assert_eq!(opening.await.unwrap().err(), Some(Unopened::Strange));
        }
    }

    #[tokio::test]
    async fn either_http_is_read_from_its_beginning() {
        for (said, spoken) in [
            (&b"GET / HTTP/1.1\r\n"[..], Spoken::Http1),
            (
                b"POST / HTTP/1.1\r\n and more than a preface has",
                Spoken::Http1,
            ),
            (PREFACE, Spoken::Http2),
        ] {
            let (mut client, server) = duplex(1024);
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let mut opened = Opened::new(server).await.unwrap();
            assert_eq!(opened.spoken, spoken);
            let mut read = Vec::new();
            opened.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, said);
        }
    }

    #[tokio::test]
    async fn whoever_goes_by_itself_is_not_sent_away() {
        for said in [&b""[..], b"PRI"] {
            let (mut client, server) = duplex(1024);
            client.write_all(said).await.unwrap();
            drop(client);
            assert_eq!(Opened::new(server).await.err(), Some(Unopened::Gone));
        }
    }
}
