//! Whether the process answers, and whether it can do something for its callers.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use tokio::sync::watch;
use tonic::Code;

use super::problem::Problem;

/// `/healthz`
pub(super) async fn alive() -> Response {
    said("{\"status\":\"alive\"}\n")
}

/// `/readyz`
pub(super) async fn ready(State(ready): State<watch::Receiver<bool>>) -> Response {
    if *ready.borrow() {
        return said("{\"status\":\"ready\"}\n");
    }
    let reason =
        "the server is stopping, or its store does not take writes at the moment: see its log";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, reason).into_response()
}

fn said(body: &'static str) -> Response {
    let mut response = Response::new(body.into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
