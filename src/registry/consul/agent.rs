//! The agents of a Consul: asks one that answers.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{
    TOKEN,
    http::{self as wire, NoAnswer},
};
use crate::{
    escape::escape_control,
    registry::{
        RegistryError,
        access::{self, Access, Endpoint, Secret},
    },
};

/// How long an answer may take that is not waited for on purpose.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest part of an agent's text that is shown.
const SHOWN_MAX: usize = 200;

/// The agents, each as good as another.
pub(super) struct Agent {
    places: String,
    endpoints: Vec<Endpoint>,
    /// Where one of them speaks TLS.
    tls: Option<TlsConnector>,
    token: Option<HeaderValue>,
    /// The one that answered last.
    last: AtomicUsize,
}

/// What an agent said.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The index of the state that it shows (`X-Consul-Index`); 0 where there is none.
    pub(super) index: u64,
    pub(super) body: Bytes,
}

impl Answer {
    /// What it says, made safe to show.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let shown: String = text.trim().chars().take(SHOWN_MAX).collect();
        escape_control(&shown).into_owned()
    }

    /// Whether the agent says that it has no such service or check. Consul up to 1.10 says so with a status of 500.
    pub(super) fn is_unknown(&self) -> bool {
        let text = self.text();
        self.status == StatusCode::NOT_FOUND
            || [
                "Unknown check",
                "Unknown service",
                "does not have associated TTL",
            ]
            .iter()
            .any(|known| text.contains(known))
    }
}

impl Agent {
    /// Sets the connections up; none is made yet.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unusable`] when one cannot be.
    pub(super) fn new(access: &Access, token: Option<Secret>) -> Result<Self, RegistryError> {
        let places = access.places();
        let unusable = |reason: String| RegistryError::Unusable {
            registry: format!("Consul at {places}"),
            reason,
        };
        let has_tls = access.endpoints.iter().any(|endpoint| endpoint.tls);
        let tls = has_tls.then(|| wire::connector(access.authority.as_deref()));
        let tls = tls.transpose().map_err(unusable)?;
        let token = token.map(|token| {
            let mut value = HeaderValue::from_str(token.reveal())
                .map_err(|_| unusable(format!("{TOKEN} holds what no header can")))?;
            value.set_sensitive(true);
            Ok::<_, RegistryError>(value)
        });
        Ok(Self {
            endpoints: access.endpoints.clone(),
            tls,
            token: token.transpose()?,
            last: AtomicUsize::new(0),
            places,
        })
    }

    /// What it is and where, for people.
    pub(super) fn describe(&self) -> String {
        format!("Consul at {}", self.places)
    }

    /// Asks one agent after another, beginning with the one that answered last, until one does its part within
    /// `patience`. A refusal is an error, any other answer is one.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Away`] when none does, [`RegistryError::Refused`].
    pub(super) async fn call(
        &self,
        method: &Method,
        path: &str,
        body: &Bytes,
        patience: Duration,
    ) -> Result<Answer, RegistryError> {
        let first = self.last.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        let mut untrusted = None;
        for offset in 0..self.endpoints.len() {
            let index = (first + offset) % self.endpoints.len();
            let endpoint = &self.endpoints[index];
            let address = &endpoint.address;
            let request = self.request(endpoint, method, path, body)?;
            let sent = timeout(patience, wire::send(endpoint, self.tls.as_ref(), request)).await;
            match sent {
                Ok(Ok(answer)) => {
                    let answer = Answer::from(answer);
                    if answer.status.is_server_error() && !answer.is_unknown() {
                        let (status, text) = (answer.status, answer.text());
                        failures.push(format!("{address}: {status}: {text}"));
                        continue;
                    }
                    self.last.store(index, Ordering::Relaxed);
                    return self.accepted(answer);
                }
                Ok(Err(NoAnswer::Passing(reason))) => failures.push(format!("{address}: {reason}")),
                Ok(Err(NoAnswer::Untrusted(reason))) => {
                    untrusted.get_or_insert(access::untrusted(address, &reason));
                }
                Err(_) => failures.push(format!("{address}: no answer within {patience:?}")),
            }
        }
        // What the settings can mend comes before what may pass.
        Err(untrusted.map_or_else(
            || RegistryError::Away {
                // The reasons name the places.
                registry: "Consul".to_owned(),
                reason: failures.join("; "),
            },
            |reason| self.refused(reason),
        ))
    }

    fn accepted(&self, answer: Answer) -> Result<Answer, RegistryError> {
        let text = answer.text();
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let advice = if self.token.is_some() {
                    format!(
                        "{TOKEN} has to be a token that may write this service (service:write), and read services and nodes"
                    )
                } else {
                    format!("set {TOKEN} to a token that may write this service (service:write)")
                };
                Err(self.refused(format!("{text}; {advice}")))
            }
            status if status.is_success() || answer.is_unknown() => Ok(answer),
            status => Err(self.refused(format!(
                "it answered {status}: {text}; if it is Consul and speaks TLS, write https:// before its address"
            ))),
        }
    }

    /// It refuses, for this reason.
    pub(super) fn refused(&self, reason: String) -> RegistryError {
        RegistryError::Refused {
            registry: self.describe(),
            reason,
        }
    }

    fn request(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, RegistryError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, endpoint.address.to_string())
            .header(
                header::USER_AGENT,
                concat!("shippy/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let request = request.body(Full::new(body.clone()));
        request.map_err(|error| RegistryError::Unusable {
            registry: self.describe(),
            reason: error.to_string(),
        })
    }
}

impl From<Response<Bytes>> for Answer {
    fn from(answer: Response<Bytes>) -> Self {
        let index = answer.headers().get("x-consul-index");
        let index = index.and_then(|index| index.to_str().ok()?.parse().ok());
        Self {
            status: answer.status(),
            index: index.unwrap_or(0),
            body: answer.into_body(),
        }
    }
}
