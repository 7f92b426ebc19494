//! What every command needs that calls a server.

use std::time::Duration;

use clap::Args;

use super::{ServiceArgs, exit::UsageError, security::ClientSecurityArgs};
use crate::{
    address::Address,
    backend::{self, RegistryKind},
    client::{Client, Options},
    registry::access::Tenure,
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
        let registry = if !self.server.is_empty() {
            options.is_named = true;
            backend::fixed(self.server)
        } else if self.service.registry == RegistryKind::Static {
            let advice = "--registry static looks for no server: name one with --server HOST:PORT or SHIPPY_SERVER";
            return Err(UsageError(advice.into()));
        } else if self.service.looks_nothing_up() {
            let advice = "--registry dns looks up a name: give it with --registry-address NAME or \
                          MICRO_REGISTRY_ADDRESS, as shippy.default.svc.cluster.local";
            return Err(UsageError(advice.into()));
        } else {
            self.service.registry(Tenure::default())?
        };
        Ok(Client::new(registry, options))
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

/// `500ms`, `5s` or `2m`; a plain number is seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(
        text.find(|char: char| char.is_alphabetic())
            .unwrap_or(text.len()),
    );
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err("write a number and ms, s or m, like 500ms or 5s".into()),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok())
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST_TIMEOUT)
        .ok_or_else(|| {
            "write a number above 0 and ms, s or m, like 500ms or 5s, at most a day".into()
        })
}

/// Longer than anybody waits, and short enough to be added to any time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "0", "-1s", "5h", "NaN", "inf", "1e300", "s", "2d"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_server_has_a_host_and_a_port() {
        assert_eq!(parse_server("[::1]:50051"), Ok("[::1]:50051".into()));
        for text in [":50051", "depot", "depot:0", ""] {
            assert!(parse_server(text).is_err(), "{text:?} was taken");
        }
    }
}
