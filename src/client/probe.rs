//! Asks servers how they are, each at each of its addresses, without ever sending them anything to keep.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    Options, ShippingServiceClient,
    connection::{self, Candidate, Connection, OpenFailure},
    dialer::CONNECT_TIMEOUT,
    error,
    find::Wanted,
    mismatch::Mismatch,
    opening::OPEN_TIMEOUT,
};
use crate::{
    escape::escape_control,
    proto::{Consignment, ListRequest},
    registry::Instance,
};

/// How many addresses are asked at once. Each server that is announced and not there takes half a second: of a flood of
/// them, some six hundred are asked before the usual 5 s are over.
const AT_ONCE: usize = 64;

/// What one server said of itself.
#[derive(Debug, Clone)]
pub struct Probed {
    /// What became of each of its addresses, in their order.
    pub places: Vec<Place>,
    /// How many consignments its register holds, or why that is not known.
    pub size: Result<u64, String>,
}

/// What became of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `HOST:PORT`.
    pub address: String,
    /// Who answered there.
    pub answer: Answer,
}

/// Who answered at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The server.
    Server {
        /// Whether it serves.
        serving: bool,
        /// Its register's id.
        register: String,
        /// How long it took to answer over a connection that was open.
        round_trip: Duration,
    },
    /// Somebody who takes connections, and did not get to say how the server is.
    Connected {
        /// Why not.
        reason: String,
    },
    /// Nobody.
    Nobody {
        /// Why not.
        reason: String,
    },
}

impl Answer {
    /// Whether anybody takes connections there.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        !matches!(self, Self::Nobody { .. })
    }

    fn unasked() -> Self {
        Self::Nobody {
            reason: "it was not asked in time".into(),
        }
    }
}

/// Asks each of `instances`, many at once, until `deadline`; what was not asked by then is told so. In the order of
/// `instances`.
pub(super) async fn probe(
    instances: &[Instance],
    options: &Options,
    deadline: Instant,
) -> Vec<Probed> {
    let mut answers = ask_all(instances, options, deadline).await;
    let mut probed: Vec<Probed> = (instances.iter().enumerate())
        .map(|(number, instance)| Probed {
            places: (instance.addresses.iter().enumerate())
                .map(|(place, address)| Place {
                    address: address.clone(),
                    answer: (answers.remove(&(number, place))).unwrap_or_else(Answer::unasked),
                })
                .collect(),
            size: Err("it did not answer".into()),
        })
        .collect();
    let counts = (probed.iter().enumerate()).filter_map(|(number, one)| {
        let place = (one.places.iter()).find_map(|place| match &place.answer {
            Answer::Server { register, .. } => Some((place.address.clone(), register.clone())),
            _ => None,
        });
        let (address, register) = place?;
        let candidate = candidate(&instances[number], address, register);
        Some(async move { (number, count(candidate, options, deadline).await) })
    });
    let counts: Vec<_> = counts.collect();
    let mut counted = stream::iter(counts).buffer_unordered(AT_ONCE);
    while let Some((number, size)) = counted.next().await {
        probed[number].size = size;
    }
    probed
}

/// What became of each address, by the places of its instance and of itself. The first address of each comes first.
async fn ask_all(
    instances: &[Instance],
    options: &Options,
    deadline: Instant,
) -> HashMap<(usize, usize), Answer> {
    let mut jobs: Vec<_> = (instances.iter().enumerate())
        .flat_map(|(number, instance)| {
            (0..instance.addresses.len()).map(move |place| (place, number))
        })
        .collect();
    jobs.sort_unstable();
    // Everybody may ask for health, and those who were found by a search are not to see the token.
    let options = Options {
        token: None,
        ..options.clone()
    };
    let options = &options;
    let asked = jobs.into_iter().map(async |(place, number)| {
        let instance = &instances[number];
        let answer = ask(instance, &instance.addresses[place], options).await;
        ((number, place), answer)
    });
    let asked: Vec<_> = asked.collect();
    let mut asked = stream::iter(asked).buffer_unordered(AT_ONCE);
    let mut answers = HashMap::new();
    while let Ok(Some((at, answer))) = timeout_at(deadline, asked.next()).await {
        answers.insert(at, answer);
    }
    answers
}

async fn ask(instance: &Instance, address: &str, options: &Options) -> Answer {
    let late = || "no connection in time".to_owned();
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Err(_) => return Answer::Nobody { reason: late() },
        Ok(Err(error)) => {
            return Answer::Nobody {
                reason: error.to_string(),
            };
        }
        Ok(Ok(_)) => {}
    }
    // Without the register that it was announced with, as whose it is shall be its own word.
    let candidate = candidate(instance, address.to_owned(), String::new());
    let answer = timeout(OPEN_TIMEOUT, greet(candidate, options)).await;
    match answer.unwrap_or_else(|_| Err("it did not answer in time".into())) {
        Ok((register, ..)) if is_other(&register, instance) => Answer::Connected {
            reason: format!("it keeps another register, {}", escape_control(&register)),
        },
        Ok((register, serving, round_trip)) => Answer::Server {
            serving,
            register,
            round_trip,
        },
        Err(reason) => Answer::Connected { reason },
    }
}

fn is_other(register: &str, instance: &Instance) -> bool {
    !instance.register.is_empty() && instance.register != register
}

fn candidate(instance: &Instance, address: String, register: String) -> Candidate {
    Candidate {
        register,
        address,
        tls: instance.tls,
    }
}

/// The server's register, whether it serves and how long it took to say so.
async fn greet(
    candidate: Candidate,
    options: &Options,
) -> Result<(String, bool, Duration), String> {
    let connection = open(candidate, options).await?;
    let begun = Instant::now();
    let health = HealthClient::new(connection.service)
        .check(HealthCheckRequest::default())
        .await;
    let round_trip = begun.elapsed();
    let health = health.map_err(|status| error::describe(&status))?;
    let serving = connection::is_serving(health.into_inner());
    Ok((connection.register, serving, round_trip))
}

/// How many consignments there are: the number of the newest, as they are counted from 1 without a gap.
async fn count(candidate: Candidate, options: &Options, deadline: Instant) -> Result<u64, String> {
    let until = deadline.min(Instant::now() + OPEN_TIMEOUT);
    let newest = async {
        let connection = open(candidate, options).await?;
        let request = ListRequest {
            limit: 1,
            newest_first: true,
            ..ListRequest::default()
        };
        let said = |status| error::describe(&status);
        let mut client = ShippingServiceClient::new(connection.service);
        let listed = client.list_consignments(request).await.map_err(said)?;
        let mut chunks = listed.into_inner();
        while let Some(chunk) = chunks.message().await.map_err(said)? {
            if let Some(newest) = chunk.consignments.iter().next() {
                let newest = Consignment::decode(newest);
                return newest
                    .map(|newest| newest.sequence)
                    .map_err(|error| error.to_string());
            }
        }
        Ok(0)
    };
    let late = |_| Err("it did not answer in time".into());
    timeout_at(until, newest).await.unwrap_or_else(late)
}

async fn open(candidate: Candidate, options: &Options) -> Result<Connection, String> {
    let opened = connection::open(candidate, &Wanted::Any, options).await;
    opened.map_err(|failure| match failure {
        OpenFailure::Server(reason)
        | OpenFailure::Address(reason)
        | OpenFailure::Mismatch(Mismatch::Ours(reason) | Mismatch::Theirs(reason)) => reason,
        OpenFailure::AnotherRegister(named) => format!("it keeps another register, {named}"),
        OpenFailure::Refused(status) | OpenFailure::Busy(status) => error::describe(&status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_of_those_who_say_nothing_is_given_up_in_time() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = silent.local_addr().unwrap().to_string();
        let instance = Instance {
            addresses: vec![place; 16],
            ..Instance::depot()
        };
        let flood = vec![instance; 256];
        let options = Options {
            name: "depot".into(),
            register: None,
            timeout: Duration::from_secs(1),
            tls: None,
            token: None,
            is_named: false,
        };
        // Asking each of them would take more than a minute.
        let probed = probe(&flood, &options, Instant::now() + options.timeout).await;
        assert_eq!(probed.len(), flood.len());
        let last = &probed[flood.len() - 1];
        assert_eq!(last.places[15].answer, Answer::unasked());
        assert!(last.size.is_err());
    }
}
