//! The servers that one name stands for.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::{join, join_all};
use hickory_resolver::{
    lookup::Lookup,
    net::NetError,
    proto::rr::{Name, RData, rdata::SRV},
};

use super::{
    PORT,
    resolver::{Absent, Resolver, absent},
    target::{Records, Target},
};
use crate::registry::{Instance, Kind, Preference, RegistryError};

/// The servers of the service `name` that `resolver` has for `target`; at least one.
///
/// # Errors
///
/// [`RegistryError::Empty`] when it has none, [`RegistryError::Away`] when it gives no answer.
pub(super) async fn look_up(
    target: &Target,
    resolver: &Resolver,
    name: &str,
) -> Result<Vec<Instance>, RegistryError> {
    let services = async { Some(services(resolver, &target.service()?).await) };
    let port = match target.records {
        Records::Srv => None,
        Records::Either => Some(PORT),
        Records::Addresses(port) => Some(port),
    };
    // At once, so that a service that has only addresses is found as fast.
    let addresses = async { Some(hosts(resolver, &target.name, port?).await) };
    let (services, addresses) = join(services, addresses).await;
    let asked = services.into_iter().chain(addresses);
    let mut nothing = Nothing::Absent(Absent::Name);
    for answer in asked {
        match answer {
            Ok(places) => {
                let instances = places.into_iter().map(|place| place.instance(name));
                return Ok(instances.collect());
            }
            // That there is none is an answer: what else the name has does not count.
            Err(declared @ Nothing::Declared(_)) => {
                nothing = declared;
                break;
            }
            Err(why) => nothing = nothing.max(why),
        }
    }
    Err(match nothing {
        Nothing::Away(reason) => resolver.away(&reason),
        Nothing::Absent(absent) => empty(target, absent_text(target, absent)),
        Nothing::Declared(reason) => empty(target, reason),
    })
}

/// Why no server was found, what tells more last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nothing {
    Absent(Absent),
    /// There are records, of no server.
    Declared(String),
    /// No good answer.
    Away(String),
}

impl From<NetError> for Nothing {
    fn from(error: NetError) -> Self {
        absent(&error).map_or_else(Self::Away, Self::Absent)
    }
}

fn empty(target: &Target, reason: String) -> RegistryError {
    RegistryError::Empty {
        registry: format!("DNS ({target})"),
        reason,
    }
}

fn absent_text(target: &Target, absent: Absent) -> String {
    let name = &target.name;
    match (absent, target.records) {
        (Absent::Name, _) => format!("{name} does not exist there"),
        (Absent::Records, Records::Srv) => format!("{name} exists, but has no SRV records"),
        (Absent::Records, Records::Either) => {
            format!("{name} exists, but has neither SRV records nor addresses")
        }
        (Absent::Records, Records::Addresses(_)) => {
            format!("{name} exists, but has no addresses")
        }
    }
}

/// Where one server is.
struct Place {
    addresses: Vec<SocketAddr>,
    preference: Preference,
}

impl Place {
    fn instance(self, name: &str) -> Instance {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        Instance {
            id: addresses.join(","),
            name: name.to_owned(),
            version: String::new(),
            addresses,
            register: String::new(),
            kind: Kind::Shared,
            tls: false,
            preference: self.preference,
        }
    }
}

/// The hosts that `name` is one of, as each of them may be a server of its own.
async fn hosts(resolver: &Resolver, name: &str, port: u16) -> Result<Vec<Place>, Nothing> {
    let found = addresses(resolver, name_of(name)?).await?;
    let place = |ip| Place {
        addresses: vec![SocketAddr::new(ip, port)],
        preference: Preference::default(),
    };
    Ok(found.into_iter().map(place).collect())
}

/// The servers that the SRV records of `name` list.
async fn services(resolver: &Resolver, name: &str) -> Result<Vec<Place>, Nothing> {
    let answer = resolver.inner.srv_lookup(name_of(name)?).await?;
    let records = (answer.answers().iter()).filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(srv),
        _ => None,
    });
    // The root as a target means that there is decidedly no such service (RFC 2782).
    let records: Vec<&SRV> = records.filter(|srv| !srv.target.is_root()).collect();
    if records.is_empty() {
        return Err(Nothing::Declared(format!(
            "the SRV record of {name} says that there is no such service"
        )));
    }
    let targets = join_all(records.iter().map(|srv| place(resolver, &answer, srv))).await;
    let mut places = Vec::new();
    let mut nowhere = None;
    for target in targets {
        match target {
            Ok(place) => places.push(place),
            Err(why) => nowhere = nowhere.max(Some(why)),
        }
    }
    match nowhere {
        Some(why) if places.is_empty() => Err(why),
        _ => Ok(places),
    }
}

async fn place(resolver: &Resolver, answer: &Lookup, srv: &SRV) -> Result<Place, Nothing> {
    // Most servers send the addresses along.
    let sent = (answer.additionals().iter()).filter(|record| record.name == srv.target);
    let mut ips: Vec<IpAddr> = sent.filter_map(|record| record.data.ip_addr()).collect();
    if ips.is_empty() {
        let found = addresses(resolver, srv.target.clone()).await;
        ips = found.map_err(|why| match why {
            Nothing::Absent(_) => {
                let target = srv.target.to_ascii();
                let target = target.trim_end_matches('.');
                Nothing::Declared(format!(
                    "{target}, which an SRV record names, has no address"
                ))
            }
            why => why,
        })?;
    }
    Ok(Place {
        addresses: (ips.into_iter())
            .map(|ip| SocketAddr::new(ip, srv.port))
            .collect(),
        preference: Preference {
            priority: srv.priority,
            weight: srv.weight,
        },
    })
}

/// The addresses of `name`, IPv4 first.
async fn addresses(resolver: &Resolver, name: Name) -> Result<Vec<IpAddr>, Nothing> {
    let found = resolver.inner.lookup_ip(name).await?;
    let ips: Vec<_> = found.iter().collect();
    if ips.is_empty() {
        return Err(Nothing::Absent(Absent::Records));
    }
    Ok(ips)
}

fn name_of(text: &str) -> Result<Name, Nothing> {
    // With what stands before it, it may be too long.
    Name::from_ascii(text).map_err(|_| Nothing::Absent(Absent::Name))
}
