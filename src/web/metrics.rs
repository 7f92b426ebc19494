//! `GET /metrics`

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use prometheus_client::registry::Registry;
use tonic::Code;

use super::problem::Problem;
use crate::metrics::{MEDIA_TYPE, render};

pub(super) async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let Ok(text) = render(&registry) else {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let said = "the metrics could not be written";
        return Problem::new(status, Code::Internal, said).into_response();
    };
    let mut response = Response::new(text.into());
    let media_type = HeaderValue::from_static(MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}
