//! What a key and its value say: go-micro's layout (`registry/etcd/etcd.go`, `registry/registry.go` and
//! `server/grpc/grpc.go` of its version 2), in which shippy keeps what it needs itself in the node's metadata.
//!
//! | metadata | value |
//! |---|---|
//! | `protocol`, `server`, `transport` | `grpc` |
//! | `registry`, `broker` | `etcd`, `http`, as go-micro's own servers have them |
//! | those of `metadata.rs` | shippy's own; a node without them is another program's, and passed over |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::registry::{Instance, RegistryError, metadata};

/// Beneath it go-micro keeps its services.
pub(super) const PREFIX: &str = "/micro/registry/";

#[derive(Debug, Serialize, Deserialize)]
struct Service {
    name: String,
    version: String,
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    nodes: Vec<Node>,
}

/// A method. Clients look these up only to check what they call, so the messages are not spelled out.
#[derive(Debug, Serialize, Deserialize)]
struct Endpoint {
    name: String,
    #[serde(skip_deserializing)]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Node {
    id: String,
    address: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// The methods that go-micro's clients know.
const METHODS: [&str; 2] = [
    "ShippingService.CreateConsignment",
    "ShippingService.GetConsignments",
];

/// The key of `instance`.
pub(super) fn key(instance: &Instance) -> Vec<u8> {
    let Instance { name, id, .. } = instance;
    format!("{PREFIX}{name}/{name}-{id}").into_bytes()
}

/// The first key of the service `name`, or of any, and the first after all of them.
pub(super) fn range(name: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    // '0' comes after '/'.
    let Some(name) = name else {
        let end = format!("{}0", PREFIX.trim_end_matches('/'));
        return (PREFIX.into(), end.into_bytes());
    };
    let first = format!("{PREFIX}{name}/").into_bytes();
    (first, format!("{PREFIX}{name}0").into_bytes())
}

/// The value for `instance`.
///
/// # Errors
///
/// [`RegistryError::Nowhere`].
pub(super) fn encode(instance: &Instance) -> Result<Vec<u8>, RegistryError> {
    let addresses = metadata::addresses(instance)?;
    let gomicro = [
        ("protocol", "grpc"),
        ("server", "grpc"),
        ("transport", "grpc"),
        ("registry", "etcd"),
        ("broker", "http"),
    ];
    let gomicro = gomicro.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let own = metadata::pairs(instance, &addresses).map(|(key, value)| (key.to_owned(), value));
    let endpoint = |name: &str| Endpoint {
        name: name.to_owned(),
        metadata: BTreeMap::new(),
    };
    let service = Service {
        name: instance.name.clone(),
        version: instance.version.clone(),
        metadata: None,
        endpoints: Some(METHODS.map(endpoint).into()),
        nodes: vec![Node {
            id: format!("{}-{}", instance.name, instance.id),
            address: addresses.first().cloned().unwrap_or_default(),
            metadata: gomicro.into_iter().chain(own).collect(),
        }],
    };
    Ok(serde_json::to_vec(&service).expect("text is encoded without fail"))
}

/// The servers of the service `name`, or of any, in a value: usually one. What is not shippy's, or makes no sense, is passed over.
pub(super) fn decode(value: &[u8], name: Option<&str>) -> Vec<Instance> {
    let service: Service = match serde_json::from_slice(value) {
        Ok(service) => service,
        Err(error) => {
            tracing::debug!(%error, "a value in etcd that makes no sense is ignored");
            return Vec::new();
        }
    };
    if name.is_some_and(|name| service.name != name) {
        return Vec::new();
    }
    let instances = service.nodes.iter().filter_map(|node| {
        let found = instance(&service, node);
        if found.is_none() {
            tracing::debug!(
                id = node.id,
                "a node in etcd that is not shippy's is ignored"
            );
        }
        found
    });
    instances.collect()
}

fn instance(service: &Service, node: &Node) -> Option<Instance> {
    let id = node.id.strip_prefix(&service.name);
    let id = id.and_then(|rest| rest.strip_prefix('-'));
    let names = [id.unwrap_or(&node.id), &service.name, &service.version];
    let text = |key: &str| node.metadata.get(key).map(String::as_str);
    metadata::instance(names, &node.address, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depot() -> Instance {
        Instance {
            name: "go.micro.srv.consignment".to_owned(),
            addresses: vec![
                "10.0.0.5:50051".to_owned(),
                "[2001:db8::5]:50051".to_owned(),
            ],
            ..Instance::depot()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let depot = depot();
        for name in [Some(&*depot.name), None] {
            let read = decode(&encode(&depot).unwrap(), name);
            assert_eq!(read, std::slice::from_ref(&depot));
        }
        assert_eq!(decode(&encode(&depot).unwrap(), Some("other")), []);
    }

    #[test]
    fn the_layout_is_go_micros() {
        let depot = depot();
        let key = String::from_utf8(key(&depot)).unwrap();
        let id = "go.micro.srv.consignment-0198f2b4-7c1e-7d64-9f60-3b1d2a4c5e6f";
        assert_eq!(
            key,
            format!("/micro/registry/go.micro.srv.consignment/{id}")
        );
        let value: serde_json::Value = serde_json::from_slice(&encode(&depot).unwrap()).unwrap();
        assert_eq!(value["name"], "go.micro.srv.consignment");
        assert_eq!(value["version"], "0.1.0");
        assert!(value["metadata"].is_null());
        assert_eq!(
            value["endpoints"][0]["name"],
            "ShippingService.CreateConsignment"
        );
        let node = &value["nodes"][0];
        assert_eq!(node["id"], id);
        assert_eq!(node["address"], "10.0.0.5:50051");
        for key in ["protocol", "server", "transport"] {
            assert_eq!(node["metadata"][key], "grpc");
        }
        assert_eq!(node["metadata"]["registry"], "etcd");
    }

    #[test]
    fn a_range_holds_the_services_keys_and_no_others() {
        let (first, end) = range(Some("depot"));
        let is_in = |key: &str| {
            let key = format!("{PREFIX}{key}").into_bytes();
            first <= key && key < end
        };
        assert!(is_in("depot/depot-1") && is_in("depot/~"));
        for other in ["depot", "depot.b/depot-1", "depot1/depot1-1", "depos/x"] {
            assert!(!is_in(other), "{other}");
        }
    }

    #[test]
    fn what_is_not_shippys_or_damaged_is_passed_over() {
        let depot = depot();
        let sound = String::from_utf8(encode(&depot).unwrap()).unwrap();
        for (from, to) in [
            ("\"register\":", "\"other\":"),
            ("\"kind\":\"shared\"", "\"kind\":\"third\""),
            ("\"kind\":\"shared\"", "\"kind\":7"),
            ("\"nodes\"", "\"edges\""),
            ("{", "["),
        ] {
            let damaged = sound.replacen(from, to, 1);
            assert_ne!(damaged, sound, "{from} is not in {sound}");
            assert_eq!(
                decode(damaged.as_bytes(), Some(&depot.name)),
                [],
                "{damaged}"
            );
        }
        let go = br#"{"name":"go.micro.srv.consignment","version":"latest","metadata":null,
            "endpoints":[{"name":"ShippingService.CreateConsignment","request":{"name":"Consignment","type":"Consignment","values":null}}],
            "nodes":[{"id":"go.micro.srv.consignment-1","address":"10.0.0.6:1","metadata":{"protocol":"grpc"}}]}"#;
        assert_eq!(decode(go, Some(&depot.name)), []);
        assert_eq!(decode(b"\xff\x00", Some(&depot.name)), []);
    }
}
