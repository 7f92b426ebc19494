//! TLS and tokens, as flags and variables say them.

use std::{
    env,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use rustls::pki_types::ServerName;

use super::exit::UsageError;
use crate::{
    address::Address,
    causes::chain,
    client::{self, Options},
    registry::access::Secret,
    server::{
        current::Current,
        tls::{Tls, TlsFiles},
    },
    tls::{Complaint, SERVER_NAME},
    tokens::Tokens,
};

/// The variable that holds a client's token. There is no flag for it, which every process of the machine could read.
const TOKEN: &str = "SHIPPY_TOKEN";

/// Whom a server lets in.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may do what")]
pub(super) struct ServerSecurityArgs {
    /// Speak TLS with this certificate, a PEM file with those that vouch for it after it; read again when it changes
    #[arg(
        long,
        env = "SHIPPY_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, a PEM file
    #[arg(
        long,
        env = "SHIPPY_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Let in only those who show a certificate that comes from this authority, a PEM file
    #[arg(
        long,
        env = "SHIPPY_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_client_ca: Option<PathBuf>,
    /// Who may list and who may create: a file with the lines that `shippy token` prints; read again when it changes
    #[arg(long, env = "SHIPPY_TOKENS", value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Answer health checks, and nothing else, on this address too: in clear and to everybody, as health checks of
    /// containers have neither certificates nor tokens
    #[arg(long, env = "SHIPPY_PROBE_ADDRESS", value_name = "HOST:PORT")]
    pub(super) probe_address: Option<Address>,
}

/// What keeps others out.
#[derive(Default)]
pub(super) struct Protection {
    pub(super) tls: Option<Tls>,
    pub(super) asks_certificates: bool,
    pub(super) tokens: Option<Current<Tokens>>,
}

impl ServerSecurityArgs {
    /// Loads the files.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub(super) fn load(&self) -> Result<Protection, UsageError> {
        let tokens = self.tokens.clone().map(|path| {
            let load = {
                let path = path.clone();
                move || read_tokens(&path)
            };
            Current::load("tokens", vec![path], load)
        });
        let tls = self.tls_files().map(TlsFiles::load);
        Ok(Protection {
            tls: tls.transpose().map_err(usage)?,
            asks_certificates: self.tls_client_ca.is_some(),
            tokens: tokens.transpose().map_err(usage)?,
        })
    }

    /// The files that TLS is spoken with, if it is.
    fn tls_files(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles {
            certificate,
            key,
            client_authorities: self.tls_client_ca.clone(),
        })
    }

    /// Whether TLS could be loaded, and what is to be said of the certificate's time; `None` without TLS.
    pub(super) fn check_tls(&self) -> Option<Result<Option<Complaint>, UsageError>> {
        Some(self.tls_files()?.check().map_err(usage))
    }

    /// Whether the tokens can be loaded; `None` without any.
    pub(super) fn check_tokens(&self) -> Option<Result<(), UsageError>> {
        let read = read_tokens(self.tokens.as_deref()?);
        Some(read.map(drop).map_err(usage))
    }

    /// What those who reach the server may do without being asked who they are, where it is open to others: a warning.
    pub(super) fn warning(&self) -> Option<&'static str> {
        let (has_tls, has_tokens) = (self.tls_cert.is_some(), self.tokens.is_some());
        match (has_tls, self.tls_client_ca.is_some(), has_tokens) {
            (false, _, false) => Some("can read and write: there are neither TLS nor tokens"),
            (false, _, true) => Some(
                "can see what is sent, tokens included: there is no TLS, and shippy's own clients send no token without",
            ),
            (true, false, false) => Some(
                "can read and write: TLS alone keeps nobody out, --tls-client-ca or --tokens do",
            ),
            (true, true, _) | (true, _, true) => None,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn usage(error: anyhow::Error) -> UsageError {
    UsageError(chain(error.as_ref()))
}

fn read_tokens(path: &Path) -> anyhow::Result<Tokens> {
    let failed = |reason: &dyn Display| {
        anyhow::anyhow!("could not use the tokens in {}: {reason}", path.display())
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    text.parse().map_err(|error| failed(&error))
}

impl Protection {
    /// What there is of it, for the ready line; nothing where there is nothing.
    pub(super) fn describe(&self) -> String {
        let parts = [
            self.tls.as_ref().map(|_| "TLS"),
            self.asks_certificates.then_some("client certificates"),
            self.tokens.as_ref().map(|_| "tokens"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        match parts.split_last() {
            None => String::new(),
            Some((only, [])) => format!(", with {only}"),
            Some((last, others)) => format!(", with {} and {last}", others.join(" and ")),
        }
    }
}

/// How a client knows servers and proves who it is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(super) struct ClientSecurityArgs {
    /// Speak TLS, to servers whose certificates come from this authority, a PEM file
    #[arg(long, env = "SHIPPY_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The certificate to show to servers that ask for one, a PEM file
    #[arg(
        long,
        env = "SHIPPY_TLS_CLIENT_CERT",
        value_name = "FILE",
        requires_all = ["tls_ca", "tls_key"]
    )]
    tls_cert: Option<PathBuf>,
    /// Its private key, a PEM file
    #[arg(
        long,
        env = "SHIPPY_TLS_CLIENT_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// The name that a server's certificate has to be for [default: shippy]
    #[arg(
        long,
        env = "SHIPPY_TLS_SERVER_NAME",
        value_name = "NAME",
        requires = "tls_ca",
        value_parser = parse_server_name
    )]
    tls_server_name: Option<ServerName<'static>>,
    /// The token to prove with that one may do it, a file; or set `SHIPPY_TOKEN` to the token itself
    #[arg(long, env = "SHIPPY_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ClientSecurityArgs {
    /// Loads the files into `options`.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them.
    pub(super) fn load(&self, options: &mut Options) -> Result<(), UsageError> {
        options.tls = self.tls()?;
        options.token = self.token()?;
        Ok(())
    }

    fn tls(&self) -> Result<Option<client::tls::Tls>, UsageError> {
        let Some(authority) = &self.tls_ca else {
            return Ok(None);
        };
        let identity = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        let name = self.tls_server_name.clone();
        let name = name.map_or_else(|| SERVER_NAME.try_into(), Ok);
        name.map_err(anyhow::Error::from)
            .and_then(|name| client::tls::Tls::load(authority, identity, name))
            .map(Some)
            .map_err(|error| UsageError(chain(error.as_ref())))
    }

    fn token(&self) -> Result<Option<Secret>, UsageError> {
        let (text, origin) = match &self.token_file {
            Some(path) => {
                let text = fs::read_to_string(path);
                let text = text.map_err(|error| {
                    UsageError(format!(
                        "could not read --token-file {}: {error}",
                        path.display()
                    ))
                })?;
                (text.trim().to_owned(), path.display().to_string())
            }
            None => match env::var_os(TOKEN).filter(|value| !value.is_empty()) {
                Some(text) => (text.to_string_lossy().into_owned(), TOKEN.to_owned()),
                None => return Ok(None),
            },
        };
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Some(Secret::new(text))).ok_or_else(|| {
            UsageError(format!(
                "{origin} does not hold a token, which is one word: the first line that `shippy token` prints"
            ))
        })
    }
}

fn parse_server_name(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text.to_owned());
    name.map_err(|_| "write the name of a host, or an IP address".into())
}
