//! What every request passes before it reaches the service, and every reply after.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc};

use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Request, Response, Uri, uri::PathAndQuery};
use hyper::{body::Incoming, service::Service};
use tokio::sync::Semaphore;
use tower_service::Service as _;

use super::limits::{REQUEST_TIMEOUT, REQUESTS};
use crate::{
    proto::{REGISTER_KEY, SERVICE, SERVICE_ALIAS},
    service,
};

/// Serves `routes` in the name of one register.
#[derive(Clone)]
pub(super) struct Gate {
    routes: Router,
    register: HeaderValue,
    requests: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(routes: Router, register: HeaderValue) -> Self {
        Self {
            routes,
            register,
            requests: Arc::new(Semaphore::new(REQUESTS)),
        }
    }

    async fn answer(self, mut request: Request<Incoming>) -> Response<Body> {
        if let Some(wanted) = request.headers().get(REGISTER_KEY)
            && !self.register.as_bytes().starts_with(wanted.as_bytes())
        {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            return service::wrong_register(&text(wanted), &text(&self.register)).into_http();
        }
        let Ok(_permit) = self.requests.try_acquire() else {
            return service::overloaded().into_http();
        };
        resolve_alias(request.uri_mut());
        let mut routes = self.routes;
        match tokio::time::timeout(REQUEST_TIMEOUT, routes.call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => service::timed_out(REQUEST_TIMEOUT).into_http(),
        }
    }
}

impl Service<Request<Incoming>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move {
            let register = gate.register.clone();
            let mut response = gate.answer(request).await;
            let key = HeaderName::from_static(REGISTER_KEY);
            response.headers_mut().insert(key, register);
            Ok(response)
        })
    }
}

/// The service has two names on the wire and one implementation.
fn resolve_alias(uri: &mut Uri) {
    let method = uri
        .path()
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(SERVICE_ALIAS));
    let Some(method) = method.filter(|method| method.starts_with('/')) else {
        return;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("/{SERVICE}{method}")).ok();
    if let Ok(resolved) = Uri::from_parts(parts) {
        *uri = resolved;
    }
}
