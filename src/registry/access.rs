//! What is configured of a registry that is a server of its own: where it is, who we are to it, and for how long an
//! announcement lasts.

use std::{env, fmt, fs, path::Path, time::Duration};

use crate::address::Address;

/// What has to hold of a registry's settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// An address is none.
    #[error(
        "could not use the registry address{}: {reason}",
        named.as_ref().map(|text| format!(" {text:?}")).unwrap_or_default()
    )]
    Address {
        /// What was written, unless it might hold a password.
        named: Option<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with the certificate authority cannot be used.
    #[error("could not use the certificate authority in {path}: {reason}")]
    Authority {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One of two variables that belong together is missing.
    #[error("{present} is set and {missing} is not: set both, or neither")]
    Alone {
        /// The variable that is set.
        present: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A variable's value cannot be sent.
    #[error("{0} holds characters that cannot be sent: it has to be printable ASCII text")]
    Unprintable(&'static str),
}

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whom it is meant.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the environment variable `name` holds, if anything.
    ///
    /// # Errors
    ///
    /// [`AccessError::Unprintable`] when that could not be sent in a header or a message.
    pub fn from_env(name: &'static str) -> Result<Option<Self>, AccessError> {
        let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let text = value.into_string().ok();
        text.filter(|text| !text.chars().any(char::is_control))
            .map(|text| Some(Self(text)))
            .ok_or(AccessError::Unprintable(name))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// Who we are to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: Secret,
}

/// The variables that name the user and the password.
pub const USER: &str = "SHIPPY_REGISTRY_USER";
/// See [`USER`].
pub const PASSWORD: &str = "SHIPPY_REGISTRY_PASSWORD";

impl User {
    /// Who the environment says that we are, if it does.
    ///
    /// # Errors
    ///
    /// [`AccessError::Alone`] when it has only the name or only the password, [`AccessError::Unprintable`].
    pub fn from_env() -> Result<Option<Self>, AccessError> {
        let alone = |present, missing| Err(AccessError::Alone { present, missing });
        match (Secret::from_env(USER)?, Secret::from_env(PASSWORD)?) {
            (Some(Secret(name)), Some(password)) => Ok(Some(Self { name, password })),
            (None, None) => Ok(None),
            (Some(_), None) => alone(USER, PASSWORD),
            (None, Some(_)) => alone(PASSWORD, USER),
        }
    }
}

/// One place where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// Whether to speak TLS to it.
    pub tls: bool,
}

impl Endpoint {
    /// Reads `HOST:PORT`, with `https://` before it for TLS. Without a port it is `port`, as in go-micro.
    ///
    /// # Errors
    ///
    /// [`AccessError::Address`].
    pub fn parse(text: &str, port: u16) -> Result<Self, AccessError> {
        let failed = |reason: String| AccessError::Address {
            named: (!text.contains('@')).then(|| text.to_owned()),
            reason,
        };
        if text.contains('@') {
            let reason = "it is HOST:PORT alone, and a user and a password come from the environment: see `shippy serve --help`";
            return Err(failed(reason.into()));
        }
        let (tls, place) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(failed("write HOST:PORT, or https://HOST:PORT".into())),
            None => (false, text),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let has_port = place.rsplit_once(':').is_some_and(|(host, _)| {
            !host.contains(':') || (host.starts_with('[') && host.ends_with(']'))
        });
        let parsed = if has_port {
            place.parse()
        } else {
            format!("{place}:{port}").parse()
        };
        let address: Address = parsed.map_err(failed)?;
        if address.host.is_empty() || address.port == 0 {
            return Err(failed("write HOST:PORT, like 192.0.2.7:2379".into()));
        }
        Ok(Self { address, tls })
    }

    /// The URI of the place, without a path.
    #[must_use]
    pub fn uri(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Where a registry is, and how to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Its places, each as good as another; at least one.
    pub endpoints: Vec<Endpoint>,
    /// The certificate authority that its certificates come from, in PEM; the system's when there is none here.
    pub authority: Option<Vec<u8>>,
}

impl Access {
    /// Reads addresses, as people write them, and the file `authority`. No address at all means `port` on this machine.
    ///
    /// # Errors
    ///
    /// [`AccessError::Address`], [`AccessError::Authority`].
    pub fn new(
        addresses: &[String],
        port: u16,
        authority: Option<&Path>,
    ) -> Result<Self, AccessError> {
        let written = addresses
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty());
        let mut endpoints: Vec<_> = written
            .map(|text| Endpoint::parse(text, port))
            .collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            let host = "127.0.0.1".to_owned();
            let address = Address { host, port };
            endpoints.push(Endpoint {
                address,
                tls: false,
            });
        }
        Ok(Self {
            endpoints,
            authority: authority.map(read_authority).transpose()?,
        })
    }

    /// The places, for people.
    #[must_use]
    pub fn places(&self) -> String {
        let places: Vec<_> = (self.endpoints.iter())
            .map(|endpoint| endpoint.address.to_string())
            .collect();
        places.join(", ")
    }
}

/// Why the place at `address` is not used whose certificate was refused for `reason`, and what to try.
pub(super) fn untrusted(address: impl fmt::Display, reason: &str) -> String {
    format!(
        "{address}: {reason}; name the authority that its certificate comes from with --registry-ca FILE, and the host \
         as that certificate does"
    )
}

fn read_authority(path: &Path) -> Result<Vec<u8>, AccessError> {
    let failed = |reason: String| AccessError::Authority {
        path: path.display().to_string(),
        reason,
    };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(marker.len()).any(|window| window == marker) {
        return Err(failed("it holds no certificate in PEM format".into()));
    }
    Ok(pem)
}

/// For how long an announcement lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure {
    /// How long the registry keeps it after the last word from the server.
    pub ttl: Duration,
    /// How often the server renews it; less than `ttl`.
    pub interval: Duration,
}

impl Default for Tenure {
    /// What the Go services have.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            interval: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Endpoint::parse(text, 2379)
            .map(|endpoint| endpoint.uri())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_has_a_port_and_may_ask_for_tls() {
        for (text, uri) in [
            ("10.0.0.5:1", "http://10.0.0.5:1"),
            ("etcd", "http://etcd:2379"),
            ("[::1]", "http://[::1]:2379"),
            ("[::1]:7", "http://[::1]:7"),
            ("http://etcd:1/", "http://etcd:1"),
            ("https://etcd", "https://etcd:2379"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(uri));
        }
        for text in ["", ":2379", "etcd:0", "ftp://etcd", "etcd:1/v3", "::1"] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error = parse("http://ann:secret@etcd:2379").unwrap_err();
        assert!(
            error.contains("environment") && !error.contains("secret"),
            "{error}"
        );
        assert_eq!(format!("{:?}", Secret::new("secret".to_owned())), "Secret");
    }

    #[test]
    fn without_an_address_it_is_on_this_machine() {
        let access = Access::new(&[String::new()], 8500, None).unwrap();
        assert_eq!(access.places(), "127.0.0.1:8500");
    }

    #[test]
    fn a_file_without_a_certificate_is_no_authority() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Access::new(&[], 1, Some(file.path())).unwrap_err();
        assert!(error.to_string().contains("no certificate"), "{error}");
    }
}
