//! What every command needs that calls a server.

use std::{sync::Arc, time::Duration};

use clap::Args;

use super::{
    ServiceArgs, duration::parse_duration, exit::UsageError, security::ClientSecurityArgs,
};
use crate::{
    address::Address,
    backend::{self, RegistryKind},
    client::{Client, Options, survey::Survey},
    registry::{Registry, access::Tenure},
};

/// How to find a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Finding the server")]
pub(super) struct ClientArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Ask the server at this address and look for no other; repeat it for further servers of the same register
    #[arg(long, env = "SHIPPY_SERVER", value_name = "HOST:PORT", value_delimiter = ',', value_parser = parse_server)]
    server: Vec<String>,
    /// Which register, where there are several: its id, or the first characters of it
    #[arg(long, env = "SHIPPY_REGISTER", value_name = "ID-PREFIX", value_parser = parse_register)]
    register: Option<String>,
    /// How long to wait in all for a server to be found and to answer, like 5s or 500ms
    #[arg(long, env = "SHIPPY_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    security: ClientSecurityArgs,
}

impl ClientArgs {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the registry, or a file, cannot be used as it is configured.
    pub(super) fn client(self) -> Result<Client, UsageError> {
        let mut options = self.options();
        self.security.load(&mut options)?;
        self.client_with(options)
    }

    /// A client that asks only for health, which everybody may: in clear at `probe`, if there is one, else at
    /// `address`, if there is one, unless `--server` names another.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client).
    pub(super) fn health_client(
        mut self,
        probe: Option<String>,
        address: Option<String>,
    ) -> Result<Client, UsageError> {
        let mut options = self.options();
        if self.server.is_empty()
            && let Some(probe) = probe
        {
            self.server = vec![probe];
            return self.client_with(options);
        }
        if self.server.is_empty() {
            self.server.extend(address);
        }
        self.security.load(&mut options)?;
        options.token = None;
        self.client_with(options)
    }

    fn options(&self) -> Options {
        Options {
            name: self.service.name.clone(),
            register: self.register.clone(),
            timeout: self.timeout,
            tls: None,
            token: None,
            is_named: false,
        }
    }

    fn client_with(self, mut options: Options) -> Result<Client, UsageError> {
        let registry = self.registry(&mut options)?;
        Ok(Client::new(registry, options))
    }

    /// What looks for whatever servers there are, for `time`: of every name, unless `of_one_name`.
    ///
    /// # Errors
    ///
    /// As [`client`](Self::client).
    pub(super) fn survey(&self, of_one_name: bool, time: Duration) -> Result<Survey, UsageError> {
        let mut options = self.options();
        self.security.load(&mut options)?;
        Ok(Survey {
            registry: self.registry(&mut options)?,
            options,
            of_all_names: !of_one_name,
            time,
        })
    }

    /// Whether servers are looked for by multicast DNS.
    pub(super) fn is_multicast(&self) -> bool {
        self.server.is_empty() && self.service.registry == RegistryKind::Mdns
    }

    /// Where servers are looked up; where they are named, `options` says so from now on.
    fn registry(&self, options: &mut Options) -> Result<Arc<dyn Registry>, UsageError> {
        Ok(if !self.server.is_empty() {
            options.is_named = true;
            backend::fixed(self.server.clone())
        } else if self.service.registry == RegistryKind::Static {
            let advice = "--registry static looks for no server: name one with --server HOST:PORT or SHIPPY_SERVER";
            return Err(UsageError(advice.into()));
        } else if self.service.looks_nothing_up() {
            let advice = "--registry dns looks up a name: give it with --registry-address NAME or \
                          MICRO_REGISTRY_ADDRESS, as shippy.default.svc.cluster.local";
            return Err(UsageError(advice.into()));
        } else {
            self.service.registry(Tenure::default())?
        })
    }
}

/// An address that others can be sent to.
pub(super) fn parse_host(text: &str) -> Result<Address, String> {
    let address: Address = text.parse()?;
    if address.host.is_empty() {
        return Err("it has no host: write HOST:PORT, like 192.0.2.7:50051".into());
    }
    Ok(address)
}

pub(super) fn parse_server(text: &str) -> Result<String, String> {
    let address = parse_host(text)?;
    if address.port == 0 {
        return Err("port 0 is none that a server can be reached at".into());
    }
    Ok(address.to_string())
}

pub(super) fn parse_register(text: &str) -> Result<String, String> {
    let is_plain = |char: char| char.is_ascii_hexdigit() || char == '-';
    if text.is_empty() || !text.chars().all(is_plain) {
        return Err("a register's id is a UUID, as `shippy serve` prints it".into());
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_host_and_a_port() {
        assert_eq!(parse_server("[::1]:50051"), Ok("[::1]:50051".into()));
        for text in [":50051", "depot", "depot:0", ""] {
            assert!(parse_server(text).is_err(), "{text:?} was taken");
        }
    }
}
