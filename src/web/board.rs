//! The board: a page for people, at `/`. Its parts are files in the executable, and it takes nothing from anywhere else.

use axum::{
    Router,
    body::Body,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    },
};
use twox_hash::XxHash3_64;

/// Where the board is.
pub(super) const BOARD: &str = "/";
/// What its parts' paths begin with.
pub(super) const PARTS: &str = "/board/";

/// What the page may load and do: its own parts and calls to its own server. No text that gets into it can be run, and no
/// other page can show it in a frame and have it clicked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the board.
#[derive(Debug, Clone, Copy)]
struct Part {
    path: &'static str,
    media_type: &'static str,
    contents: &'static str,
}

macro_rules! part {
    ($name:literal, $media_type:expr) => {
        Part {
            path: concat!("/board/", $name),
            media_type: $media_type,
            contents: include_str!(concat!("board/", $name)),
        }
    };
}

const PAGE: Part = Part {
    path: BOARD,
    ..part!("index.html", HTML)
};

const OTHERS: [Part; 12] = [
    part!("board.css", CSS),
    part!("board.js", JAVASCRIPT),
    part!("detail.js", JAVASCRIPT),
    part!("filters.js", JAVASCRIPT),
    part!("icon.svg", SVG),
    part!("list.js", JAVASCRIPT),
    part!("live.js", JAVASCRIPT),
    part!("record.js", JAVASCRIPT),
    part!("server.js", JAVASCRIPT),
    part!("session.js", JAVASCRIPT),
    part!("text.js", JAVASCRIPT),
    part!("vessels.js", JAVASCRIPT),
];

/// The page and its parts.
pub(super) fn routes() -> Router {
    let parts = OTHERS.into_iter().chain([PAGE]);
    parts.fold(Router::new(), |routes, part| {
        let tag = HeaderValue::from_str(&tag(part.contents));
        let tag = tag.expect("hexadecimal digits in quotes are a header's value");
        let answer = move |headers: HeaderMap| async move { part.answer(&headers, tag) };
        routes.route(part.path, get(answer))
    })
}

/// Names the contents (RFC 9110 §8.8.3): another version of the executable has others under the same path.
fn tag(contents: &str) -> String {
    format!("\"{:016x}\"", XxHash3_64::oneshot(contents.as_bytes()))
}

impl Part {
    fn answer(self, asked: &HeaderMap, tag: HeaderValue) -> Response {
        let is_known = is_named(asked, &tag);
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Response::new(Body::from(self.contents))
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(ETAG, tag);
        // Kept, and asked for each time whether it is still the same: there are a few KiB of it.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let opener = HeaderName::from_static("cross-origin-opener-policy");
        headers.insert(opener, HeaderValue::from_static("same-origin"));
        response
    }
}

/// Whether the caller has what `tag` names (RFC 9110 §13.1.2).
fn is_named(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).iter();
    let mut tags = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    tags.any(|one| {
        let one = one.trim();
        one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes()
    })
}
