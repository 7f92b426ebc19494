//! What the agent is told and tells, in JSON.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    address::Address,
    registry::{Instance, RegistryError, metadata},
};

/// The shortest time after which Consul removes a service whose check is not passed; it takes no less.
const REMOVE_AFTER_MIN: Duration = Duration::from_secs(60);

/// `PUT /v1/agent/service/register`
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Registration<'i> {
    #[serde(rename = "ID")]
    id: String,
    name: &'i str,
    address: String,
    port: u16,
    meta: BTreeMap<&'static str, String>,
    check: Check,
}

#[derive(Debug, Serialize)]
struct Check {
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "Name")]
    name: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    #[serde(rename = "Status")]
    status: &'static str,
    #[serde(rename = "DeregisterCriticalServiceAfter")]
    remove_after: String,
}

/// An entry of `GET /v1/health/service/NAME`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    service: Service,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    /// The service's name, of which Consul does not compare the case.
    #[serde(rename = "Service")]
    name: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
}

/// The service's id: unique in an agent, whatever else is registered there.
pub(super) fn id(instance: &Instance) -> String {
    format!("{}-{}", instance.name, instance.id)
}

/// The id of the check that the server passes.
pub(super) fn check_id(instance: &Instance) -> String {
    format!("service:{}", id(instance))
}

/// The registration of `instance`, whose check fails `ttl` after it was passed last.
///
/// # Errors
///
/// [`RegistryError::Nowhere`].
pub(super) fn registration(instance: &Instance, ttl: Duration) -> Result<Bytes, RegistryError> {
    let addresses = metadata::addresses(instance)?;
    let first: Address = addresses[0].parse().map_err(|_| metadata::nowhere())?;
    let mut meta = BTreeMap::from(metadata::pairs(instance, &addresses));
    meta.insert("id", instance.id.clone());
    meta.insert("version", instance.version.clone());
    let registration = Registration {
        id: id(instance),
        name: &instance.name,
        address: first.host,
        port: first.port,
        meta,
        check: Check {
            id: check_id(instance),
            name: "shippy renews its announcement",
            ttl: format!("{}ms", ttl.as_millis()),
            status: "passing",
            remove_after: format!("{}s", ttl.max(REMOVE_AFTER_MIN).as_secs()),
        },
    };
    let registration = serde_json::to_vec(&registration).expect("text is encoded without fail");
    Ok(registration.into())
}

/// The servers of the service `name` in a list of those that pass their checks; `None` when it is no such list. What
/// is not shippy's, or makes no sense, is passed over.
pub(super) fn read(list: &[u8], name: &str) -> Option<Vec<Instance>> {
    let entries: Vec<serde_json::Value> = serde_json::from_slice(list).ok()?;
    let instances = entries.into_iter().filter_map(|entry| {
        let service = serde_json::from_value::<Entry>(entry).ok()?.service;
        let found = instance(&service).filter(|found| found.name == name);
        if found.is_none() {
            tracing::debug!(
                id = service.id,
                "a service in Consul that is not shippy's is ignored"
            );
        }
        found
    });
    Some(instances.collect())
}

fn instance(service: &Service) -> Option<Instance> {
    let meta = service.meta.as_ref()?;
    let text = |key: &str| meta.get(key).map(String::as_str);
    let address = Address {
        host: service.address.clone(),
        port: service.port,
    };
    let names = [text("id")?, &service.name, text("version")?];
    metadata::instance(names, &address.to_string(), text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::Kind;

    fn depot() -> Instance {
        Instance {
            addresses: vec!["[2001:db8::5]:7".to_owned(), "10.0.0.5:7".to_owned()],
            kind: Kind::Single,
            ..Instance::depot()
        }
    }

    #[test]
    fn a_registration_holds_what_a_list_shows() {
        let depot = depot();
        let registration = registration(&depot, Duration::from_secs(20)).unwrap();
        let mut service: Value = serde_json::from_slice(&registration).unwrap();
        assert_eq!(service["Address"], "2001:db8::5");
        assert_eq!(service["Port"], 7);
        assert_eq!(service["Check"]["TTL"], "20000ms");
        assert_eq!(service["Check"]["DeregisterCriticalServiceAfter"], "60s");
        // What is registered as the name is shown as the service.
        service["Service"] = service["Name"].clone();
        let list = |service: &Value| json!([{"Node": {}, "Service": service, "Checks": []}]);
        let found = read(list(&service).to_string().as_bytes(), "depot").unwrap();
        assert_eq!(found, std::slice::from_ref(&depot));
        let other = read(list(&service).to_string().as_bytes(), "Depot").unwrap();
        assert_eq!(other, []);
        service["Meta"] = json!({"id": "x"});
        let found = read(list(&service).to_string().as_bytes(), "depot").unwrap();
        assert_eq!(found, []);
        service["Meta"] = Value::Null;
        assert_eq!(
            read(list(&service).to_string().as_bytes(), "depot"),
            Some(vec![])
        );
    }

    #[test]
    fn what_is_no_list_is_told_from_an_empty_one() {
        assert_eq!(read(b"[]", "depot"), Some(vec![]));
        assert_eq!(read(b"[7, {\"Service\": {}}]", "depot"), Some(vec![]));
        assert_eq!(read(b"<html>", "depot"), None);
        assert_eq!(read(b"{}", "depot"), None);
    }
}
