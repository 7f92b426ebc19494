//! Asks servers that were named by their address alone whose they are, so that those of one register can be told to be
//! its replicas.

use std::collections::BTreeMap;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::{
    ClientError, Options,
    connection::{self, Candidate},
    find::Wanted,
    opening::{OPEN_TIMEOUT, STAGGER},
};
use crate::registry::{Instance, Registry};

/// What was found in `registry`, with the registers of those that said theirs in time, and without those of another
/// register than the first of them: two registers are never mixed, and of several it is the one named first.
///
/// One alone is not asked: whoever calls it is told by the answer.
///
/// # Errors
///
/// [`ClientError::SeveralRegisters`] when there are several, and none was named first, as the registry is not ordered.
pub(super) async fn identify(
    registry: &dyn Registry,
    mut found: Vec<Instance>,
    wanted: &Wanted,
    options: &Options,
    deadline: Instant,
) -> Result<Vec<Instance>, ClientError> {
    let is_unknown = |instance: &Instance| instance.register.is_empty();
    if found.len() < 2 || !found.iter().all(is_unknown) {
        return Ok(found);
    }
    let registers = ask(&found, wanted, options, deadline).await;
    let Some(chosen) = registers.values().next().cloned() else {
        return Ok(found);
    };
    for (&place, register) in &registers {
        found[place].register.clone_from(register);
    }
    if !registry.is_ordered() && registers.values().any(|register| *register != chosen) {
        found.retain(|instance| !is_unknown(instance));
        return Err(ClientError::SeveralRegisters(found));
    }
    found.retain(|instance| is_unknown(instance) || instance.register == chosen);
    Ok(found)
}

/// The register of each that answers, by its place in `found`. Once one has, the others get a little time.
async fn ask(
    found: &[Instance],
    wanted: &Wanted,
    options: &Options,
    deadline: Instant,
) -> BTreeMap<usize, String> {
    let mut asked: FuturesUnordered<_> = (found.iter().enumerate())
        .map(async |(place, instance)| (place, register_of(instance, wanted, options).await))
        .collect();
    let mut registers = BTreeMap::new();
    let mut until = deadline.min(Instant::now() + OPEN_TIMEOUT);
    while let Ok(Some((place, register))) = timeout_at(until, asked.next()).await {
        if let Some(register) = register {
            registers.insert(place, register);
            until = until.min(Instant::now() + STAGGER);
        }
    }
    registers
}

async fn register_of(instance: &Instance, wanted: &Wanted, options: &Options) -> Option<String> {
    let candidate = Candidate {
        register: String::new(),
        address: instance.addresses.first()?.clone(),
        tls: instance.tls,
    };
    let connection = connection::open(candidate, wanted, options).await.ok()?;
    Some(connection.register)
}
