//! What shippy says of a server in registries that keep pairs of text for it.
//!
//! | key | value |
//! |---|---|
//! | `register` | the id of the register |
//! | `kind` | `single` or `shared` |
//! | `tls` | `1` when it expects TLS, else `0` |
//! | `addresses` | `HOST:PORT,…`, all of them, the best first |

use super::{
    Instance, Kind, Preference, RegistryError, places,
    words::{is_register, is_token, parse_tls, tls_word},
};
use crate::address::Address;

/// Longest id, register and version, in bytes: a UUID takes 36, a semantic version seldom over 30.
const TOKEN_MAX: usize = 128;
/// Longest list of addresses, in bytes: what Consul takes as one value.
const ADDRESSES_MAX: usize = 512;

/// Why a server is not announced that has no address.
pub(super) fn nowhere() -> RegistryError {
    RegistryError::Nowhere("there is no address to announce".to_owned())
}

/// The addresses to announce for `instance`, the best first, as many as fit, and at least one.
///
/// # Errors
///
/// [`RegistryError::Nowhere`].
pub(super) fn addresses(instance: &Instance) -> Result<Vec<String>, RegistryError> {
    let mut addresses = places::spelled_out(&instance.addresses).map_err(|error| {
        RegistryError::Nowhere(format!("could not list the network interfaces: {error}"))
    })?;
    let mut length = 0;
    let is_within = |address: &String| {
        length += address.len() + 1;
        length <= ADDRESSES_MAX + 1
    };
    let count = addresses
        .iter()
        .map(is_within)
        .take_while(|&fits| fits)
        .count();
    addresses.truncate(count);
    if addresses.is_empty() {
        return Err(nowhere());
    }
    Ok(addresses)
}

/// The pairs for `instance` at `addresses`.
pub(super) fn pairs(instance: &Instance, addresses: &[String]) -> [(&'static str, String); 4] {
    [
        ("register", instance.register.clone()),
        ("kind", instance.kind.as_str().to_owned()),
        ("tls", tls_word(instance.tls).to_owned()),
        ("addresses", addresses.join(",")),
    ]
}

/// The instance that is named so and whose pairs are `text`; `None` when it is not shippy's, or makes no sense. Where
/// there is no list of addresses it is at `address`.
pub(super) fn instance<'t>(
    [id, name, version]: [&str; 3],
    address: &'t str,
    text: impl Fn(&str) -> Option<&'t str>,
) -> Option<Instance> {
    if !is_token(id, TOKEN_MAX) || !is_token(version, TOKEN_MAX) {
        return None;
    }
    let addresses = text("addresses").unwrap_or(address);
    Some(Instance {
        id: id.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        addresses: addresses.split(',').map(reachable).collect::<Option<_>>()?,
        register: text("register")
            .filter(|id| is_register(id, TOKEN_MAX))?
            .to_owned(),
        kind: Kind::parse(text("kind")?)?,
        tls: parse_tls(text("tls")?)?,
        preference: Preference::default(),
    })
}

/// An address that can be connected to.
fn reachable(text: &str) -> Option<String> {
    let address: Address = text.parse().ok()?;
    (!address.host.is_empty() && address.port != 0).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn depot() -> Instance {
        Instance {
            tls: true,
            ..Instance::depot()
        }
    }

    fn read(pairs: &HashMap<&str, String>) -> Option<Instance> {
        let depot = depot();
        let names = [&*depot.id, &*depot.name, &*depot.version];
        instance(names, "10.0.0.6:8", |key| {
            pairs.get(key).map(String::as_str)
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let depot = depot();
        let mut pairs = HashMap::from(pairs(&depot, &addresses(&depot).unwrap()));
        assert_eq!(read(&pairs), Some(depot));
        pairs.remove("addresses");
        assert_eq!(read(&pairs).unwrap().addresses, ["10.0.0.6:8"]);
    }

    #[test]
    fn what_makes_no_sense_is_nobody() {
        let depot = depot();
        let sound = HashMap::from(pairs(&depot, &depot.addresses));
        for (key, value) in [
            ("register", ""),
            ("register", "\u{1b}[2J"),
            ("register", "depot"),
            ("register", "01A2"),
            ("kind", "third"),
            ("tls", "maybe"),
            ("addresses", ""),
            ("addresses", "10.0.0.5"),
            ("addresses", "10.0.0.5:0"),
            ("addresses", ":7"),
            ("addresses", "10.0.0.5:7,,"),
        ] {
            let mut damaged = sound.clone();
            damaged.insert(key, value.to_owned());
            assert_eq!(read(&damaged), None, "{key}: {value:?}");
        }
        for key in ["register", "kind", "tls"] {
            let mut damaged = sound.clone();
            damaged.remove(key);
            assert_eq!(read(&damaged), None, "{key}");
        }
        let named = |names| instance(names, "h:1", |key| sound.get(key).map(String::as_str));
        assert!(named(["id", "depot", "1"]).is_some());
        assert_eq!(named(["", "depot", "1"]), None);
        assert_eq!(named(["id", "depot", "1 2"]), None);
    }

    #[test]
    fn of_many_addresses_the_best_are_kept() {
        let mut depot = depot();
        depot.addresses = (0..100)
            .map(|host| format!("10.0.0.{host}:50051"))
            .collect();
        let kept = addresses(&depot).unwrap();
        assert!(kept.join(",").len() <= ADDRESSES_MAX);
        assert_eq!(kept, depot.addresses[..kept.len()]);
        assert!(kept.len() > 30);
        depot.addresses.clear();
        assert!(matches!(addresses(&depot), Err(RegistryError::Nowhere(_))));
    }
}
