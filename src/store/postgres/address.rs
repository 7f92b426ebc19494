//! Which database, as a URL says it.

use std::{env, fmt, str::FromStr, time::Duration};

use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use super::tls::TlsMode;

/// How long one attempt to reach one host may take, its greeting included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long what was sent may stay without an acknowledgement, after which the connection counts as cut.
const SILENCE: Duration = Duration::from_millis(1_500);
/// How often a connection on which nothing is said is tried; the system counts in seconds.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Where a server listens for the programs of its own machine, on Debian and others.
const SOCKET_FOLDER: &str = "/var/run/postgresql";
/// The port that is meant where none is named.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// A database, and how to reach it: `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?PARAMETER=VALUE`, as libpq
/// has it (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>). What it shows is without the
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Config,
    pub(super) tls: TlsMode,
}

impl PostgresUrl {
    /// Whether the URL holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// How many hosts are named.
    pub(super) fn hosts(&self) -> usize {
        let named = self
            .config
            .get_hosts()
            .len()
            .max(self.config.get_hostaddrs().len());
        named.max(1)
    }

    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or(self.user())
    }

    /// The host of this number and its port, as they are shown and as a password file has them.
    pub(super) fn host(&self, number: usize) -> (String, u16) {
        let host = match (
            self.config.get_hosts().get(number),
            self.config.get_hostaddrs().get(number),
        ) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (Some(Host::Unix(folder)), _) => folder.display().to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => SOCKET_FOLDER.into(),
        };
        let ports = self.config.get_ports();
        let port = ports.get(number).or(ports.first());
        (host, port.copied().unwrap_or(DEFAULT_PORT))
    }

    /// How to connect to the host of this number, and to no other.
    pub(super) fn config(&self, number: usize) -> Config {
        let mut config = self.config.clone_without_hosts();
        let (host, port) = self.host(number);
        config.host(host).port(port).dbname(self.database());
        if let Some(address) = self.config.get_hostaddrs().get(number) {
            config.hostaddr(*address);
        }
        config.ssl_mode(match self.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        // A server that only reads is of no use here, and after a promotion it is another one that writes.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_TIMEOUT);
        config.tcp_user_timeout(SILENCE);
        config.keepalives_idle(PROBE_INTERVAL);
        config.keepalives_interval(PROBE_INTERVAL);
        config
    }
}

/// What of tokio-postgres' settings goes for each host.
trait WithoutHosts {
    fn clone_without_hosts(&self) -> Config;
}

impl WithoutHosts for Config {
    fn clone_without_hosts(&self) -> Config {
        let mut config = Config::new();
        config.user(self.get_user().unwrap_or_default());
        if let Some(password) = self.get_password() {
            config.password(password);
        }
        if let Some(options) = self.get_options() {
            config.options(options);
        }
        config.application_name(self.get_application_name().unwrap_or("shippy"));
        config.channel_binding(self.get_channel_binding());
        config.ssl_negotiation(self.get_ssl_negotiation());
        config
    }
}

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, tls) = TlsMode::take_from(text)?;
        let mut config: Config = url.parse().map_err(|error| unreadable(&error))?;
        if config.get_user().is_none_or(str::is_empty) {
            let user = ["PGUSER", "USER", "LOGNAME"]
                .into_iter()
                .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
            config.user(user.ok_or("it names no user: write postgres://USER@HOST/DATABASE")?);
        }
        let hosts = config.get_hosts();
        if hosts
            .iter()
            .any(|host| matches!(host, Host::Tcp(name) if name.contains('@')))
        {
            return Err("an @ within the user's name or the password is written %40".into());
        }
        let (hosts, ports) = (hosts.len(), config.get_ports().len());
        if ports > 1 && ports != hosts {
            return Err(format!("it names {hosts} hosts and {ports} ports"));
        }
        Ok(Self { config, tls })
    }
}

/// What is wrong with a URL, without what it holds.
fn unreadable(error: &tokio_postgres::Error) -> String {
    let reason = crate::causes::chain(error);
    // A password with a ? or an & in it is read as parameters.
    let is_plain = |char: char| char.is_ascii_alphabetic() || matches!(char, '_' | '`' | ':' | ' ');
    let reason = if reason.chars().all(is_plain) {
        reason
    } else {
        "it cannot be read; what is not a letter or a digit in a password is written %XX".into()
    };
    format!("{reason}; write postgres://USER@HOST:PORT/DATABASE")
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "postgres://{}@", self.user())?;
        for number in 0..self.hosts() {
            let (host, port) = self.host(number);
            let comma = if number == 0 { "" } else { "," };
            if host.contains(':') {
                write!(formatter, "{comma}[{host}]")?;
            } else {
                write!(formatter, "{comma}{host}")?;
            }
            if port != DEFAULT_PORT {
                write!(formatter, ":{port}")?;
            }
        }
        write!(formatter, "/{}", self.database())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PostgresUrl {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://ann:secret@db/depot", "postgres://ann@db/depot"),
            (
                "postgresql://ann@db:5433/depot",
                "postgres://ann@db:5433/depot",
            ),
            (
                "postgres://ann:secret@one:1,two:2/depot?target_session_attrs=read-write",
                "postgres://ann@one:1,two:2/depot",
            ),
            ("postgres://ann:se?cret@db/depot", "postgres://ann@db/depot"),
            ("postgres://ann:se%40cret@[::1]", "postgres://ann@[::1]/ann"),
            (
                "postgres://ann@/depot?password=secret",
                "postgres://ann@/var/run/postgresql/depot",
            ),
        ] {
            let url = parsed(text);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("cret"), "{url:?}");
            assert_eq!(url.has_password(), text.contains("cret"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_without_what_it_holds() {
        for text in [
            "postgres://ann:sec@ret@db/depot",
            "postgres://ann:secret@db:port/depot",
            "postgres://ann:secret@db/depot?sslmode=sometimes",
            "postgres://ann:secret@db/depot?unheard=of",
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err();
            assert!(
                !error.contains("cret") && !error.contains("ret@"),
                "{error}"
            );
        }
    }

    #[test]
    fn each_host_is_connected_to_by_itself() {
        let url = parsed("postgres://ann:secret@one:1,two:2/depot");
        let config = url.config(1);
        assert_eq!(config.get_hosts(), [Host::Tcp("two".into())]);
        assert_eq!(config.get_ports(), [2]);
        assert_eq!(config.get_password(), Some(&b"secret"[..]));
        assert_eq!(url.hosts(), 2);
    }
}
