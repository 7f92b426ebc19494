//! Keeps out pages of other sites. A browser on this machine reaches loopback, and one in the network reaches the server,
//! so a page from anywhere could have it send requests here.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv6Addr},
};

use http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};
use tonic::Code;

use super::problem::Problem;

/// The names that the server goes by.
#[derive(Debug)]
pub struct Hosts(HashSet<String>);

impl Hosts {
    /// `names`, without ports. IP addresses and the names of loopback need not be among them.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| normal(&name)).collect())
    }

    /// Whether a request may go on: it is for this server by one of its names, and a write comes from no other site's
    /// page.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Problem> {
        let authority = authority(&request.uri, &request.headers)?;
        if !self.knows(authority.host()) {
            return Err(Problem::header(
                StatusCode::MISDIRECTED_REQUEST,
                Code::PermissionDenied,
                "Host",
                &format!(
                    "is {}, which is no name of this server: ask for it by address, or start it with --http-host {0}",
                    authority.host()
                ),
            ));
        }
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method) {
            return Ok(());
        }
        check_origin(&request.headers, &authority)
    }

    /// A page can be loaded under a name that means another address a moment later (DNS rebinding), and the browser then
    /// takes this server for the page's own. Under an IP address it cannot, and what a browser takes for loopback nobody
    /// else can be.
    fn knows(&self, host: &str) -> bool {
        let host = normal(host);
        let is_address = host.parse::<std::net::Ipv4Addr>().is_ok()
            || (host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']')))
            .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
        is_address || is_loopback(&host) || self.0.contains(&host)
    }
}

/// Whether a browser takes `host` for its own machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = normal(host);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    host == "localhost"
        || host.ends_with(".localhost")
        || (address.unwrap_or(&host).parse()).is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Names do not differ by case, nor by the dot of the root.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whom the request is for (RFC 9112 §3.3).
pub(super) fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    let wrong = |description: &str| {
        let status = StatusCode::BAD_REQUEST;
        Problem::header(status, Code::InvalidArgument, "Host", description)
    };
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = (hosts.next()).ok_or_else(|| wrong("is missing: it says which server is meant"))?;
    if hosts.next().is_some() {
        return Err(wrong("is there twice"));
    }
    Authority::try_from(host.as_bytes())
        .map_err(|_| wrong("is neither a name nor an address, with a port or without"))
}

/// Browsers say where a write comes from (Fetch Metadata; RFC 6454 §7); other programs say nothing of the kind.
fn check_origin(headers: &HeaderMap, authority: &Authority) -> Result<(), Problem> {
    let refused = |name: &str, what: &str| {
        let description = format!("is {what}: pages of other sites may not write to this register");
        let status = StatusCode::FORBIDDEN;
        Err(Problem::header(
            status,
            Code::PermissionDenied,
            name,
            &description,
        ))
    };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    for site in headers.get_all("sec-fetch-site") {
        if !matches!(site.as_bytes(), b"same-origin" | b"none") {
            return refused("Sec-Fetch-Site", &text(site));
        }
    }
    for origin in headers.get_all(ORIGIN) {
        let origin = text(origin);
        let host = origin.split_once("://").map(|(_, host)| host);
        if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_str())) {
            return refused("Origin", &origin);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn status(method: &str, headers: &[(&str, &str)]) -> u16 {
        let hosts = Hosts::new(["Depot.example".into()]);
        let mut request = Request::builder().method(method).uri("/v1/consignments");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        hosts.check(&parts).map_or_else(Problem::status, |()| 200)
    }

    #[test]
    fn the_servers_own_names_and_addresses_are_let_through() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:50051",
            "[::1]:50051",
            "192.168.7.7:1",
            "localhost:1",
            "LOCALHOST.",
            "depot.localhost",
            "depot.example:50051",
            "DEPOT.EXAMPLE.",
        ] {
            assert_eq!(status("GET", &[("host", host)]), 200, "{host}");
            assert_eq!(status("POST", &[("host", host)]), 200, "{host}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for host in [
            "evil.example",
            "depot.example.evil.example",
            "xdepot.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "1.2.3",
            "xlocalhost",
        ] {
            assert_eq!(status("GET", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status("GET", &[]), 400);
        assert_eq!(status("GET", &[("host", "a b")]), 400);
        assert_eq!(status("GET", &[("host", "localhost"), ("host", "x")]), 400);
    }

    #[test]
    fn only_the_servers_own_pages_write() {
        let host = ("host", "localhost:7");
        for (name, value, expected) in [
            ("origin", "http://localhost:7", 200),
            ("origin", "http://localhost:8", 403),
            ("origin", "http://localhost", 403),
            ("origin", "http://evil.example", 403),
            ("origin", "http://localhost:7.evil.example", 403),
            ("origin", "null", 403),
            ("origin", "", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "cross-site", 403),
        ] {
            assert_eq!(status("POST", &[host, (name, value)]), expected, "{value}");
            assert_eq!(status("DELETE", &[host, (name, value)]), expected);
            assert_eq!(status("GET", &[host, (name, value)]), 200, "{value}");
        }
        let both = [
            host,
            ("origin", "http://localhost:7"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert_eq!(status("POST", &both), 403);
    }
}
