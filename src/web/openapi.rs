//! `GET /v1/openapi.json`

use axum::response::Response;
use http::{HeaderValue, header::CONTENT_TYPE};

/// The description of what is answered here, in `OpenAPI` 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn openapi() -> Response {
    let mut response = Response::new(DOCUMENT.into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
