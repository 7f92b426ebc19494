//! Servers named on the command line: nothing is announced and nothing is looked for.

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::{Hints, Instance, Kind, Preference, Registry, RegistryError};

/// The servers at given addresses, whatever service they keep.
#[derive(Debug, Clone)]
pub struct Fixed {
    addresses: Vec<String>,
}

impl Fixed {
    /// The servers at `addresses`, each `HOST:PORT`, in the order in which to try them.
    #[must_use]
    pub fn new(addresses: Vec<String>) -> Self {
        Self { addresses }
    }
}

#[async_trait]
impl Registry for Fixed {
    fn takes_announcements(&self) -> bool {
        false
    }

    async fn announce(&self, _: &Instance) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn withdraw(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Ends after the last address. What can be known only by asking is left empty; every kind is taken for shared,
    /// as two addresses may well be of one server.
    fn find(&self, name: &str) -> BoxStream<'static, Result<Instance, RegistryError>> {
        let name = name.to_owned();
        let instance = move |address: String| Instance {
            id: address.clone(),
            name: name.clone(),
            version: String::new(),
            addresses: vec![address],
            register: String::new(),
            kind: Kind::Shared,
            tls: false,
            preference: Preference::default(),
        };
        stream::iter(self.addresses.clone())
            .map(move |address| Ok(instance(address)))
            .boxed()
    }

    fn describe(&self) -> String {
        self.addresses.join(", ")
    }

    fn hints(&self) -> Hints {
        Hints {
            start: "shippy serve",
            reach: &[],
        }
    }

    fn is_ordered(&self) -> bool {
        true
    }
}
