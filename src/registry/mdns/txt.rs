//! The TXT record of an announcement (RFC 6763 §6): who the server is and what it serves, in clear.
//!
//! | key | value |
//! |---|---|
//! | `txtvers` | `1`, the version of this layout; a reader ignores any other |
//! | `id` | the server process |
//! | `service` | the service's name (`--name`) |
//! | `version` | the server's version |
//! | `register` | the id of the register that it serves |
//! | `kind` | `single` or `shared` |
//! | `tls` | `1` when it expects TLS, else `0` |
//! | `address` | optional: `HOST:PORT,…`, to be used instead of the SRV, A and AAAA records |

use std::net::SocketAddr;

use crate::registry::{
    Instance, Kind,
    words::{is_register, is_token, parse_tls, tls_word},
};

/// The layout's version.
const LAYOUT: &str = "1";
/// Longest id, register and version, in bytes: a UUID takes 36, a semantic version seldom over 30.
const TOKEN_MAX: usize = 64;
/// Longest service name, in bytes. A TXT string holds 255 with its key; this leaves room for both.
const SERVICE_MAX: usize = 200;
/// Most addresses that `address` spells out: four IPv6 addresses with their ports fill 4 × 48 of its 255 bytes.
pub(super) const SPELLED_OUT_MAX: usize = 4;

/// What a TXT record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) service: String,
    pub(super) version: String,
    pub(super) register: String,
    pub(super) kind: Kind,
    pub(super) tls: bool,
    /// Where it says to connect, when not where its address records say.
    pub(super) spelled_out: Vec<SocketAddr>,
}

/// Why an instance cannot be announced: a value that no reader would accept.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the {key} {value:?} cannot be announced: it must be {rule}")]
pub(super) struct Unfit {
    key: &'static str,
    value: String,
    rule: String,
}

impl Record {
    /// What to say of `instance`.
    ///
    /// # Errors
    ///
    /// [`Unfit`] when a value is empty, too long, or holds characters that a reader refuses.
    pub(super) fn new(instance: &Instance, spelled_out: &[SocketAddr]) -> Result<Self, Unfit> {
        for (key, value) in [
            ("id", &instance.id),
            ("version", &instance.version),
            ("register", &instance.register),
        ] {
            if !is_token(value, TOKEN_MAX) {
                return Err(Unfit {
                    key,
                    value: value.clone(),
                    rule: format!("1 to {TOKEN_MAX} printable ASCII characters without spaces"),
                });
            }
        }
        if !is_service(&instance.name) {
            return Err(Unfit {
                key: "name",
                value: instance.name.clone(),
                rule: format!("1 to {SERVICE_MAX} bytes without control characters"),
            });
        }
        Ok(Self {
            id: instance.id.clone(),
            service: instance.name.clone(),
            version: instance.version.clone(),
            register: instance.register.clone(),
            kind: instance.kind,
            tls: instance.tls,
            spelled_out: spelled_out.iter().take(SPELLED_OUT_MAX).copied().collect(),
        })
    }

    /// The key and value pairs to announce, `txtvers` first (RFC 6763 §6.7).
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("txtvers", LAYOUT.to_owned()),
            ("id", self.id.clone()),
            ("service", self.service.clone()),
            ("version", self.version.clone()),
            ("register", self.register.clone()),
            ("kind", self.kind.as_str().to_owned()),
            ("tls", tls_word(self.tls).to_owned()),
        ];
        if !self.spelled_out.is_empty() {
            let addresses: Vec<String> =
                self.spelled_out.iter().map(SocketAddr::to_string).collect();
            pairs.push(("address", addresses.join(",")));
        }
        pairs
    }

    /// Reads the pairs of a TXT record from the network; `None` unless every key that is needed is there and sound.
    ///
    /// Keys are compared without case, the first of several counts, and unknown ones are ignored (RFC 6763 §6.4).
    pub(super) fn parse(pairs: &[(&[u8], Option<&[u8]>)]) -> Option<Self> {
        let text = |key: &str| {
            let mut named = pairs
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(key.as_bytes()));
            let (_, value) = named.next()?;
            std::str::from_utf8((*value)?).ok()
        };
        let token = |key: &str| text(key).filter(|value| is_token(value, TOKEN_MAX));
        if text("txtvers")? != LAYOUT {
            return None;
        }
        Some(Self {
            id: token("id")?.to_owned(),
            service: text("service").filter(|name| is_service(name))?.to_owned(),
            version: token("version")?.to_owned(),
            register: text("register")
                .filter(|id| is_register(id, TOKEN_MAX))?
                .to_owned(),
            kind: Kind::parse(text("kind")?)?,
            tls: parse_tls(text("tls")?)?,
            spelled_out: match text("address") {
                Some(list) => spelled_out(list)?,
                None => Vec::new(),
            },
        })
    }
}

/// Reads the value of `address`; `None` when any of it is not an IP address with a port. A scope (`[fe80::1%2]:443`)
/// would be an interface of the one who wrote it.
fn spelled_out(list: &str) -> Option<Vec<SocketAddr>> {
    let goes_anywhere = |address: &SocketAddr| match address {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(v6) => v6.scope_id() == 0,
    };
    list.split(',')
        .take(SPELLED_OUT_MAX)
        .map(|address| address.parse().ok().filter(goes_anywhere))
        .collect()
}

fn is_service(value: &str) -> bool {
    (1..=SERVICE_MAX).contains(&value.len()) && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        Instance {
            name: "go.micro.srv.consignment".to_owned(),
            addresses: vec!["127.0.0.1:50051".to_owned()],
            tls: true,
            ..Instance::depot()
        }
    }

    fn parse(pairs: &[(&str, String)]) -> Option<Record> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (key.as_bytes(), Some(value.as_bytes())))
            .collect();
        Record::parse(&pairs)
    }

    #[test]
    fn what_is_announced_is_what_is_read() {
        let elsewhere = [
            "192.0.2.7:443".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ];
        let record = Record::new(&instance(), &elsewhere).unwrap();
        assert_eq!(parse(&record.pairs()), Some(record.clone()));
        assert_eq!(record.pairs()[0], ("txtvers", "1".to_owned()));
        for (key, value) in record.pairs() {
            assert!(key.len() + 1 + value.len() <= 255, "{key}={value}");
        }
    }

    #[test]
    fn keys_are_read_whatever_their_case_and_the_first_one_counts() {
        let mut pairs = Record::new(&instance(), &[]).unwrap().pairs();
        pairs[1].0 = "ID";
        pairs.push(("id", "another".to_owned()));
        assert_eq!(parse(&pairs).unwrap().id, instance().id);
    }

    #[test]
    fn a_record_that_lacks_a_key_is_ignored() {
        let pairs = Record::new(&instance(), &[]).unwrap().pairs();
        for missing in 0..pairs.len() {
            let mut fewer = pairs.clone();
            let (key, _) = fewer.remove(missing);
            assert_eq!(parse(&fewer), None, "without {key}");
        }
    }

    #[test]
    fn an_unsound_value_is_ignored() {
        for (key, value) in [
            ("txtvers", "2".to_owned()),
            ("id", String::new()),
            ("id", "x".repeat(65)),
            ("id", "esc\u{1b}[2J".to_owned()),
            ("register", "two words".to_owned()),
            ("register", "é".to_owned()),
            ("register", "01A2".to_owned()),
            ("service", "a\nb".to_owned()),
            ("kind", "double".to_owned()),
            ("tls", "maybe".to_owned()),
            ("address", "depot.example:443".to_owned()),
            ("address", "[2001:db8::7%2]:443".to_owned()),
        ] {
            let mut pairs = Record::new(&instance(), &[]).unwrap().pairs();
            pairs.retain(|(name, _)| *name != key);
            pairs.push((key, value.clone()));
            assert_eq!(parse(&pairs), None, "{key}={value:?}");
        }
        let not_text: [(&[u8], Option<&[u8]>); 2] =
            [(b"txtvers", Some(b"1")), (b"id", Some(b"\xff"))];
        assert_eq!(Record::parse(&not_text), None);
    }

    #[test]
    fn a_value_that_no_reader_accepts_is_refused_at_once() {
        let long = Instance {
            name: "n".repeat(201),
            ..instance()
        };
        assert!(
            Record::new(&long, &[])
                .unwrap_err()
                .to_string()
                .contains("200 bytes")
        );
        let spaced = Instance {
            register: "a b".to_owned(),
            ..instance()
        };
        assert!(
            Record::new(&spaced, &[])
                .unwrap_err()
                .to_string()
                .contains("\"a b\"")
        );
    }
}
