//! Who a page acts for. A browser cannot put a token on each of its requests, so it keeps it in a cookie, which no script can
//! read and no other site's page can send. A write shows besides that it comes from a page of ours, which was told by what.
//!
//! Nothing of it is kept here: a session goes on over restarts, is good on every server of the register, and ends when its
//! token does.

use axum::{
    Extension, Json, Router,
    extract::State,
    response::{AppendHeaders, IntoResponse as _, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, COOKIE, ORIGIN, SET_COOKIE},
};
use ring::hmac;
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{hosts, problem::Problem};
use crate::tokens::{self, Scope};

/// Where a page asks who it acts for.
pub(super) const SESSION: &str = "/session";
/// How long a browser keeps a token: a long working day.
const HOURS: u32 = 12;
/// By which a write shows that it comes from a page of ours.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
/// What that is a hash of, keyed with the token.
const CSRF_OF: &[u8] = b"shippy board, who writes";
/// Keeps a cookie to this host and to TLS, whatever else there is in the same domain (RFC 6265bis §4.1.3.2).
const HOST_PREFIX: &str = "__Host-";

/// Who sends a request, as far as is known.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    /// Their name, where they have one.
    pub name: Option<String>,
    /// What they may do, if anything.
    pub scope: Option<Scope>,
}

impl Visitor {
    /// Whoever it is, where everybody may do everything.
    #[must_use]
    pub fn anybody() -> Self {
        Self {
            name: None,
            scope: Some(Scope::Write),
        }
    }
}

/// The token that a request came with in a cookie.
#[derive(Debug, Clone)]
struct Kept(String);

/// Whether the page that sends a request came by TLS, which ends here or before.
#[derive(Debug, Clone, Copy)]
struct Secure(bool);

/// Who it is, for their page.
#[derive(Debug, Serialize)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf: Option<String>,
}

/// The name of the cookie for a register: several may be served on one host, whose cookies its ports share.
#[derive(Debug, Clone)]
pub(super) struct Cookie(String);

impl Cookie {
    pub(super) fn of(register: &str) -> Self {
        Self(format!("shippy-{register}"))
    }

    /// Lets the token in a request's cookie count as one that it sends itself, unless it sends one. It came to this server
    /// `by_tls` or not.
    ///
    /// # Errors
    ///
    /// What to tell the caller of a write that does not show that it comes from a page of ours.
    pub(super) fn open<B>(&self, request: &mut Request<B>, by_tls: bool) -> Result<(), Status> {
        let is_secure = by_tls || came_by_tls(request.headers());
        request.extensions_mut().insert(Secure(is_secure));
        if request.headers().contains_key(AUTHORIZATION) {
            return Ok(());
        }
        // A page signs out also where its token is good for nothing any more: it takes none, and other sites' pages are told
        // by where they come from.
        if request.method() == Method::DELETE && request.uri().path() == SESSION {
            return Ok(());
        }
        let Some(token) = self.find(request.uri(), request.headers(), is_secure) else {
            return Ok(());
        };
        let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {token}")) else {
            return Ok(());
        };
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        if !reads && !shows(request.headers(), token) {
            return Err(not_shown());
        }
        let kept = Kept(token.to_owned());
        request.headers_mut().insert(AUTHORIZATION, bearer);
        request.extensions_mut().insert(kept);
        Ok(())
    }

    /// The token in it (RFC 6265 §4.2.1). Others in the same domain, and whoever is between where something comes in clear,
    /// can set a cookie without the prefix: it counts only where it was set, on the browser's own machine.
    fn find<'h>(&self, uri: &Uri, headers: &'h HeaderMap, is_secure: bool) -> Option<&'h str> {
        let texts = (headers.get_all(COOKIE).iter()).filter_map(|value| value.to_str().ok());
        let mut plain = None;
        for pair in texts.flat_map(|text| text.split(';')) {
            let Some((name, value)) = pair.trim().split_once('=') else {
                continue;
            };
            if name.strip_prefix(HOST_PREFIX) == Some(&self.0) {
                return Some(value);
            }
            if name == self.0 {
                plain = plain.or(Some(value));
            }
        }
        plain.filter(|_| !is_secure && is_for_loopback(uri, headers))
    }

    /// What has the browser forget whatever it kept, however its page came.
    fn forget(&self) -> [(HeaderName, HeaderValue); 2] {
        [true, false].map(|is_secure| (SET_COOKIE, self.set("", is_secure)))
    }

    /// What has the browser keep `token`, or forget it where it is empty.
    fn set(&self, token: &str, is_secure: bool) -> HeaderValue {
        let (prefix, secure) = if is_secure {
            (HOST_PREFIX, "; Secure")
        } else {
            ("", "")
        };
        let seconds = if token.is_empty() { 0 } else { HOURS * 60 * 60 };
        let text = format!(
            "{prefix}{}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
            self.0
        );
        HeaderValue::from_str(&text).expect("a register's id and a checked token are plain ASCII")
    }
}

fn key(token: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes())
}

/// What a page with `token` in its cookie has to show. Whoever cannot read what the server tells it does not know it.
fn csrf(token: &str) -> String {
    tokens::hexadecimal(hmac::sign(&key(token), CSRF_OF).as_ref())
}

fn shows(headers: &HeaderMap, token: &str) -> bool {
    let shown = headers.get(CSRF).and_then(|value| value.to_str().ok());
    shown
        .and_then(tokens::parse_digest)
        .is_some_and(|shown| hmac::verify(&key(token), CSRF_OF, &shown).is_ok())
}

fn not_shown() -> Status {
    let description =
        "is not what GET /session says as csrf: a write with a cookie has to send that";
    Status::with_error_details(
        Code::PermissionDenied,
        format!("X-CSRF-Token {description}"),
        ErrorDetails::with_bad_request_violation("X-CSRF-Token", description),
    )
}

pub(super) fn routes(cookie: Cookie) -> Router {
    let methods = get(tell).post(begin).delete(end);
    Router::new().route(SESSION, methods).with_state(cookie)
}

/// `GET /session`
async fn tell(Extension(visitor): Extension<Visitor>, kept: Option<Extension<Kept>>) -> Response {
    document(visitor, kept.as_ref().map(|kept| kept.0.0.as_str())).into_response()
}

/// `POST /session`
async fn begin(
    State(cookie): State<Cookie>,
    Extension(visitor): Extension<Visitor>,
    Extension(Secure(is_secure)): Extension<Secure>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|value| tokens::bearer(value.as_bytes()));
    let token = sent.and_then(|token| std::str::from_utf8(token).ok());
    let (Some(token), Some(_)) = (token, &visitor.name) else {
        let said = "a session is begun with a token that this server knows: send it as Authorization: Bearer TOKEN";
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            said,
        ));
    };
    if !is_secure && !is_for_loopback(&uri, &headers) {
        let said = "this came in clear over a network, where anybody between can read it: take another token, and sign in by https, or at \
            http://localhost on the server's own machine";
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            Code::PermissionDenied,
            said,
        ));
    }
    if !token.bytes().all(is_cookies) {
        let said = "a cookie cannot hold this token: use one that shippy token made";
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            said,
        ));
    }
    let document = document(visitor, Some(token));
    Ok(([(SET_COOKIE, cookie.set(token, is_secure))], document).into_response())
}

/// `DELETE /session`
async fn end(State(cookie): State<Cookie>) -> Response {
    let document = document(Visitor::default(), None);
    (AppendHeaders(cookie.forget()), document).into_response()
}

fn document(visitor: Visitor, token: Option<&str>) -> Json<Document> {
    Json(Document {
        name: visitor.name,
        scope: visitor
            .scope
            .map_or_else(|| "none".into(), |scope| scope.to_string()),
        csrf: visitor.scope.and(token).map(csrf),
    })
}

/// Whether the page that asks came by TLS to something before this server: browsers say so with each write.
fn came_by_tls(headers: &HeaderMap) -> bool {
    headers
        .get(ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// Whether the browser asks its own machine.
fn is_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    hosts::authority(uri, headers).is_ok_and(|authority| hosts::is_loopback(authority.host()))
}

/// Whether a cookie can hold `byte` (RFC 6265 §4.1.1).
fn is_cookies(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}
