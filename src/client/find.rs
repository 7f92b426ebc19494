//! Asks a registry, and decides whether what it found is one register.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, future::join_all, stream::BoxStream};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{ClientError, Options, connection, opening::OPEN_TIMEOUT};
use crate::registry::{Instance, Kind, Registry, RegistryError};

/// How long to wait for others after the first server was found, so that a second register is seen; as long again as the
/// first one took, where that is more. Servers on a local network answer within a few milliseconds, and on a busy machine
/// or over a slow network both take longer.
const SETTLE: Duration = Duration::from_millis(15);
/// Most servers taken from one search, and registers told of that are not wanted: more than anybody runs, and what a flood
/// of lies may cost.
const FOUND_MAX: usize = 64;
/// Most of a server's addresses that are tried to see whether it is alive, which they are all at once.
const PROBED_MAX: usize = 4;
/// How long a server may take to show that it is alive.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Which register's servers are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The only one that there is.
    Any,
    /// One whose id begins so.
    Beginning(String),
    /// This one.
    Exactly(String),
}

impl Wanted {
    /// What to name in a request.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Any => "",
            Self::Beginning(text) | Self::Exactly(text) => text,
        }
    }

    /// Whether the register with this id is wanted.
    pub(super) fn includes(&self, register: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Beginning(prefix) => register.starts_with(prefix),
            Self::Exactly(id) => register == id,
        }
    }
}

/// The servers of the one register that is wanted; those that cannot say whose they are count as its.
pub(super) async fn find(
    registry: &dyn Registry,
    name: &str,
    wanted: &Wanted,
    options: &Options,
    deadline: Instant,
) -> Result<Vec<Instance>, ClientError> {
    let begun = Instant::now();
    let mut others = BTreeSet::new();
    let gathered = gather(registry.find(name), wanted, deadline, &mut others).await;
    let hints = registry.hints();
    let found = gathered.map_err(|source| ClientError::Registry { source, hints })?;
    let found = if are_doubtful(&found) && options.tls.is_some() {
        proven(found, options, deadline).await
    } else {
        found
    };
    match registers(&found) {
        0 => Err(ClientError::NoServer {
            asked: registry.describe(),
            name: name.to_owned(),
            register: (*wanted != Wanted::Any).then(|| wanted.text().to_owned()),
            others: others.into_iter().collect(),
            waited: begun.elapsed(),
            hints,
        }),
        1 => without_copies(found, deadline).await,
        _ => Err(ClientError::SeveralRegisters(found)),
    }
}

/// The wanted instances; the registers of the rest are added to `others`. A registry that is away is waited for.
async fn gather(
    mut instances: BoxStream<'static, Result<Instance, RegistryError>>,
    wanted: &Wanted,
    mut until: Instant,
    others: &mut BTreeSet<String>,
) -> Result<Vec<Instance>, RegistryError> {
    let begun = Instant::now();
    let mut found: Vec<Instance> = Vec::new();
    let mut away = None;
    while let Ok(Some(instance)) = timeout_at(until, instances.next()).await {
        let instance = match instance {
            Ok(instance) => instance,
            Err(_) if !found.is_empty() => continue,
            Err(error) if error.is_passing() => {
                away = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if !instance.register.is_empty() && !wanted.includes(&instance.register) {
            if others.len() < FOUND_MAX {
                others.insert(instance.register);
            }
            continue;
        }
        if found.is_empty() {
            until = until.min(Instant::now() + SETTLE.max(begun.elapsed()));
        }
        match found.iter_mut().find(|known| known.id == instance.id) {
            Some(known) => *known = instance,
            None => found.push(instance),
        }
        if found.len() >= FOUND_MAX {
            break;
        }
    }
    match away {
        Some(error) if found.is_empty() && others.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// How many registers those in `found` say that they keep.
fn registers(found: &[Instance]) -> usize {
    let registers: BTreeSet<_> = found.iter().map(|instance| &instance.register).collect();
    registers.len()
}

fn are_copies(found: &[Instance]) -> bool {
    let is_single = |instance: &&Instance| instance.kind == Kind::Single;
    found.iter().filter(is_single).count() > 1
}

/// Whether they cannot all be what they say.
fn are_doubtful(found: &[Instance]) -> bool {
    registers(found) > 1 || are_copies(found)
}

/// Those in `found` that show a certificate as it is to be, which whoever answers a search in their place cannot; all of
/// them when none does, as asking them tells what is wrong with each.
async fn proven(found: Vec<Instance>, options: &Options, deadline: Instant) -> Vec<Instance> {
    let until = deadline.min(Instant::now() + OPEN_TIMEOUT);
    let is_proven = async |instance: &Instance| {
        let attempts = (instance.addresses.iter().take(PROBED_MAX))
            .map(|address| timeout_at(until, connection::is_open(instance, address, options)));
        join_all(attempts).await.contains(&Ok(true))
    };
    let proofs = join_all(found.iter().map(is_proven)).await;
    if !proofs.contains(&true) {
        return found;
    }
    let proven = found.into_iter().zip(proofs);
    proven.filter(|(_, is)| *is).map(|(one, _)| one).collect()
}

/// One register in one server has one server. Where two say that they are it, the one that still lives is.
async fn without_copies(
    found: Vec<Instance>,
    deadline: Instant,
) -> Result<Vec<Instance>, ClientError> {
    if !are_copies(&found) {
        return Ok(found);
    }
    let until = deadline.min(Instant::now() + PROBE_TIMEOUT);
    let alive = join_all(found.iter().map(|instance| is_alive(instance, until))).await;
    let living: Vec<_> = (found.iter().zip(alive))
        .filter(|(_, alive)| *alive)
        .map(|(instance, _)| instance.clone())
        .collect();
    let places: BTreeSet<_> = living.iter().map(|instance| &instance.addresses).collect();
    match places.len() {
        // Asking them tells what is wrong with each.
        0 => Ok(found),
        1 => Ok(living),
        // A server that took over its predecessor's port may be known under both ids: that is one place.
        _ => Err(ClientError::Copies(living)),
    }
}

async fn is_alive(instance: &Instance, until: Instant) -> bool {
    let connects = (instance.addresses.iter().take(PROBED_MAX))
        .map(|address| timeout_at(until, TcpStream::connect(address.as_str())));
    let connected = join_all(connects).await;
    connected
        .into_iter()
        .any(|connected| matches!(connected, Ok(Ok(_))))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    fn instance(register: &str) -> Instance {
        Instance {
            id: register.into(),
            addresses: vec!["127.0.0.1:1".into()],
            register: register.into(),
            kind: Kind::Single,
            ..Instance::depot()
        }
    }

    #[tokio::test]
    async fn where_the_first_answers_late_the_second_may_be_late_as_well() {
        let late = stream::iter([("one", SETTLE * 20), ("two", SETTLE * 4)]);
        let late = late.then(async |(register, time)| {
            sleep(time).await;
            Ok(instance(register))
        });
        let search = late.chain(stream::pending()).boxed();
        let deadline = Instant::now() + Duration::from_secs(60);
        let found = gather(search, &Wanted::Any, deadline, &mut BTreeSet::new()).await;
        let found: Vec<_> = found.unwrap().into_iter().map(|one| one.register).collect();
        assert_eq!(found, ["one", "two"]);
    }
}
