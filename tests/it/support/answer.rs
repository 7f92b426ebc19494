//! Requests as they are on the wire of HTTP/1.1, and their answers taken apart.

use std::{
    io::{Read, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use super::SOON;

/// An answer, read to the end of its connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Whether the body came to its end, rather than its connection.
    pub(crate) is_whole: bool,
}

/// Sends `method` for `path` with `headers`, a line each, and `body`.
#[track_caller]
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let mut stream = open(address);
    // A server that refuses need not read the rest.
    let _ = stream.write_all(request(address, method, path, headers, body).as_bytes());
    Answer::read(&mut stream)
}

/// The same by TLS to a server whom the authority in the file `authority` vouches for.
#[track_caller]
pub(crate) fn send_by_tls(
    (address, authority): (SocketAddr, &str),
    method: &str,
    path: &str,
    headers: &[&str],
) -> Answer {
    let mut stream = open_by_tls(address, authority, &[]);
    let request = request(address, method, path, headers, "");
    stream.write_all(request.as_bytes()).unwrap();
    Answer::read(&mut stream)
}

/// One request of HTTP/1.1, after which the connection ends.
fn request(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> String {
    let is_host = |header: &&&str| header.to_lowercase().starts_with("host:");
    let host = format!("Host: {address}");
    let length = format!("Content-Length: {}", body.len());
    let mut lines = vec![
        format!("{method} {path} HTTP/1.1"),
        "Connection: close".into(),
    ];
    lines.extend(headers.iter().find(is_host).is_none().then_some(host));
    lines.extend((!body.is_empty()).then_some(length));
    lines.extend(headers.iter().map(ToString::to_string));
    format!("{}\r\n\r\n{body}", lines.join("\r\n"))
}

/// The same of a request that has no more to say.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Answer {
    send(address, "GET", path, headers, "")
}

/// A connection that fails the test when nothing comes for too long.
pub(crate) fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// The same by TLS to a server whom the authority in the file `authority` vouches for, with `protocols` offered by ALPN.
pub(crate) fn open_by_tls(
    address: SocketAddr,
    authority: &str,
    protocols: &[&[u8]],
) -> StreamOwned<ClientConnection, TcpStream> {
    let roots = shippy::tls::authorities(authority.as_ref()).unwrap();
    let mut config = ClientConfig::builder_with_provider(shippy::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let name = shippy::tls::SERVER_NAME.try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, open(address))
}

impl Answer {
    /// Reads until the connection's end.
    #[track_caller]
    pub(crate) fn read(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        let is_late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.as_ref().is_err_and(is_late), "it stays open");
        Self::parse(&bytes)
    }

    #[track_caller]
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = (text.split_once("\r\n\r\n"))
            .unwrap_or_else(|| panic!("no answer of HTTP/1.1: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Self {
            status: status.and_then(|status| status.parse().ok()).unwrap(),
            headers,
            body: body.to_owned(),
            is_whole: true,
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            (answer.body, answer.is_whole) = unchunked(body);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the status is `status`.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Of a refusal: its code, and the fields that it names.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (String, Vec<String>) {
        let error = &self.json()["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let fields = error["fields"].as_array().unwrap().iter();
        let fields = fields.map(|field| field["field"].as_str().unwrap().to_owned());
        (error["code"].as_str().unwrap().to_owned(), fields.collect())
    }
}

/// What came in chunks (RFC 9112 §7.1), and whether all of them did.
fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = after.get(..size) else {
            break;
        };
        body += chunk;
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
