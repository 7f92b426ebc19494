//! What callers over HTTP are told when something is wrong: the statuses of the service, as HTTP has them.

use std::{error::Error as StdError, fmt};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{codes, formats::read::InputError};

/// One refusal.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    message: String,
    fields: Vec<Field>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What is wrong with one part of a request.
#[derive(Debug, Serialize)]
pub(super) struct Field {
    /// A parameter, a header, or a path like `containers[3].origin`; empty for the whole.
    #[serde(rename = "field")]
    name: String,
    description: String,
    /// Where in the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl Field {
    pub(super) fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            line: None,
            column: None,
        }
    }

    /// The same with the line of the body that it is about.
    pub(super) fn at(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            fields: Vec::new(),
            header: None,
        }
    }

    /// The request's parts do not make sense, as `fields` say.
    pub(super) fn bad_request(subject: &str, fields: Vec<Field>) -> Self {
        let said: Vec<_> = (fields.iter())
            .map(|one| format!("{} {}", one.name, one.description))
            .collect();
        let message = format!("{subject}: {}", said.join("; "));
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message).with_fields(fields)
    }

    /// A header says what does not fit.
    pub(super) fn header(status: StatusCode, code: Code, name: &str, description: &str) -> Self {
        let fields = vec![Field::new(name, description)];
        Self::new(status, code, format!("{name} {description}")).with_fields(fields)
    }

    /// A body broke off. Where the server ended it, it says why.
    pub(super) fn of_body(error: &axum::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(status) = error.downcast_ref::<Status>() {
                return Self::from(status);
            }
            cause = error.source();
        }
        Self::from(&broken_off(error))
    }

    /// It may be sent again as it is.
    pub(super) fn retried_soon(mut self) -> Self {
        // The shortest that this header can say.
        self.header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        self
    }

    /// Says more.
    pub(super) fn with_more(mut self, more: &str) -> Self {
        self.message += more;
        self
    }

    pub(super) fn with_fields(mut self, fields: Vec<Field>) -> Self {
        self.fields = fields;
        self
    }
}

/// What to tell the sender of a body that broke off with `error`.
pub fn broken_off(error: &impl fmt::Display) -> Status {
    Status::invalid_argument(format!("the body could not be read to its end: {error}"))
}

#[cfg(test)]
impl Problem {
    pub(super) fn status(self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn to_text(&self) -> &str {
        &self.message
    }

    pub(super) fn fields(self) -> Vec<String> {
        self.fields.into_iter().map(|one| one.name).collect()
    }
}

impl From<&Status> for Problem {
    fn from(status: &Status) -> Self {
        let retry = status.get_details_retry_info();
        let http = match status.code() {
            Code::Ok => StatusCode::OK,
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
            Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
            Code::ResourceExhausted if retry.is_none() => StatusCode::INSUFFICIENT_STORAGE,
            Code::ResourceExhausted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let mut problem = Self::new(http, status.code(), status.message());
        let details = status.get_details_bad_request();
        let violations = details.map_or_else(Vec::new, |details| details.field_violations);
        problem.fields = (violations.into_iter())
            .map(|one| Field::new(one.field, one.description))
            .collect();
        if http == StatusCode::SERVICE_UNAVAILABLE {
            return problem.retried_soon();
        }
        if http == StatusCode::UNAUTHORIZED {
            problem.header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            problem.message += "; over HTTP, send the header Authorization: Bearer TOKEN";
        }
        problem
    }
}

impl From<&InputError> for Problem {
    fn from(error: &InputError) -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            error.to_string(),
        );
        if let InputError::Invalid { problems, .. } = error {
            let fields = problems.iter().map(|one| Field {
                name: one.field().to_owned(),
                description: one.message.clone(),
                line: Some(one.line),
                column: Some(one.column),
            });
            problem.fields = fields.collect();
        }
        problem
    }
}

#[derive(Serialize)]
struct Document<'p> {
    error: Error<'p>,
}

/// What every refusal's document has under `error`.
#[derive(Serialize)]
pub(super) struct Error<'p> {
    code: &'static str,
    message: &'p str,
    fields: &'p [Field],
}

impl<'p> Error<'p> {
    pub(super) fn new(code: Code, message: &'p str, fields: &'p [Field]) -> Self {
        Self {
            code: codes::name(code),
            message,
            fields,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            error: Error::new(self.code, &self.message, &self.fields),
        };
        let mut body = serde_json::to_vec(&document).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.header);
        // For whoever counts what became of requests.
        response.extensions_mut().insert(self.code);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_the_server_ended_says_why() {
        let ended = axum::Error::new(axum::Error::new(Status::unavailable("too much to do")));
        let problem = Problem::of_body(&ended);
        assert_eq!(problem.to_text(), "too much to do");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(RETRY_AFTER));
        let cut = axum::Error::new(std::io::Error::other("gone"));
        assert_eq!(Problem::of_body(&cut).status(), 400);
    }
}
