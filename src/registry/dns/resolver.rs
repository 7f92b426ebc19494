//! Who is asked, and what becomes of a question that gets no good answer.

use std::{io, net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{
        ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
        ResolverOpts,
    },
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    system_conf::read_system_conf,
};

use crate::registry::RegistryError;

/// Longest wait for one answer of one DNS server, less than the five seconds that are usual: who waits is a command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// DNS servers, and how to ask them.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) inner: TokioResolver,
    /// Which they are, for people.
    place: String,
}

impl Resolver {
    /// The server at `authority`, which is asked for names as they are; else those of /etc/resolv.conf with its search
    /// domains, after /etc/hosts.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unusable`] when the system names none.
    pub(super) fn new(authority: Option<SocketAddr>) -> Result<Self, RegistryError> {
        let unusable = |error: NetError| RegistryError::Unusable {
            registry: "DNS".into(),
            reason: format!(
                "{}; to ask a certain DNS server, write --registry-address dns://SERVER/NAME",
                unreadable(&error)
            ),
        };
        let (config, mut options) = match authority {
            Some(server) => at(server),
            None => system().map_err(unusable)?,
        };
        let places: Vec<_> = (config.name_servers().iter())
            .map(|server| server.ip.to_string())
            .collect();
        let place = match authority {
            Some(server) => format!("the DNS server {server}"),
            None => format!("the DNS of /etc/resolv.conf ({})", places.join(", ")),
        };
        options.timeout = options.timeout.min(ANSWER_TIMEOUT);
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // A server that is about to come is not there until it is.
        options.negative_max_ttl = Some(Duration::ZERO);
        let inner = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(unusable)?;
        Ok(Self { inner, place })
    }

    /// It cannot be asked now, for `reason`.
    pub(super) fn away(&self, reason: &str) -> RegistryError {
        RegistryError::Away {
            registry: self.place.clone(),
            reason: format!(
                "{reason}; another one is asked by --registry-address dns://SERVER/NAME"
            ),
        }
    }
}

/// One server, by UDP and by TCP where an answer does not fit.
fn at(server: SocketAddr) -> (ResolverConfig, ResolverOpts) {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    (ResolverConfig::from_name_servers(vec![server]), options)
}

fn system() -> Result<(ResolverConfig, ResolverOpts), NetError> {
    let (mut config, options) = read_system_conf()?;
    // The domain of this host's name counts only where there is no list to search (resolv.conf(5)).
    if !config.search.is_empty() {
        config.domain = None;
    }
    Ok((config, options))
}

fn unreadable(error: &NetError) -> String {
    match error {
        NetError::Io(error) if error.kind() == io::ErrorKind::Other => {
            format!("could not use /etc/resolv.conf: {error}")
        }
        NetError::Io(error) => format!("could not read /etc/resolv.conf: {error}"),
        error => error.to_string(),
    }
}

/// Why there are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Absent {
    /// The name does not exist.
    Name,
    /// The name exists, without such records.
    Records,
}

/// Whether DNS said that there are no records; otherwise what it said instead.
pub(super) fn absent(error: &NetError) -> Result<Absent, String> {
    match error {
        error if error.is_nx_domain() => Ok(Absent::Name),
        error if error.is_no_records_found() => Ok(Absent::Records),
        NetError::Timeout => Err("it does not answer".into()),
        NetError::Dns(DnsError::ResponseCode(code)) => Err(format!("it answered: {code}")),
        error => Err(error.to_string()),
    }
}
