//! TLS to the database, as libpq's `sslmode` and `sslrootcert` say it
//! (<https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>).

use std::{path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How much is asked of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// In clear.
    Disable,
    /// TLS where the server has it, with whatever certificate.
    Prefer,
    /// TLS, with whatever certificate.
    Require,
    /// TLS with a certificate that one of the roots vouches for, whatever name is in it.
    VerifyChain(Roots),
    /// The same, and it is the host's.
    VerifyFull(Roots),
}

/// Who may vouch for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// Those whom this machine trusts.
    System,
    /// Those whose certificates are in this file, in PEM.
    File(PathBuf),
}

/// The parameters that are read here; tokio-postgres does not know them all.
const SSL_MODE: &str = "sslmode";
const SSL_ROOT_CERT: &str = "sslrootcert";

impl TlsMode {
    /// Reads the mode out of `url`; what is left of it.
    pub(super) fn take_from(url: &str) -> Result<(String, Self), String> {
        // A password, which ends at the first @, may have a ? in it.
        let host = url.find('@').unwrap_or(0);
        let Some(end) = url[host..].find('?') else {
            return Ok((url.to_owned(), Self::Prefer));
        };
        let (rest, parameters) = (&url[..host + end], &url[host + end + 1..]);
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for parameter in parameters.split('&') {
            match parameter.split_once('=') {
                Some((SSL_MODE, value)) => mode = Some(value),
                Some((SSL_ROOT_CERT, "system")) => roots = Some(Roots::System),
                Some((SSL_ROOT_CERT, path)) => roots = Some(Roots::File(decoded(path)?.into())),
                _ => others.push(parameter),
            }
        }
        let left = if others.is_empty() {
            rest.to_owned()
        } else {
            format!("{rest}?{}", others.join("&"))
        };
        Ok((left, Self::new(mode, roots)?))
    }

    /// As libpq has it, `require` with roots checks the certificate against them, and the system's roots vouch for
    /// nobody without the name.
    fn new(mode: Option<&str>, roots: Option<Roots>) -> Result<Self, String> {
        Ok(match (mode, roots) {
            (Some("disable"), _) => Self::Disable,
            (Some("verify-full"), roots) => Self::VerifyFull(roots.unwrap_or(Roots::System)),
            (None, Some(Roots::System)) => Self::VerifyFull(Roots::System),
            (Some("verify-ca" | "require"), Some(roots @ Roots::File(_))) => {
                Self::VerifyChain(roots)
            }
            (Some("verify-ca"), None) => {
                return Err("sslmode=verify-ca needs sslrootcert=FILE".into());
            }
            (Some("prefer") | None, _) => Self::Prefer,
            (Some("require"), None) => Self::Require,
            (Some("verify-ca" | "require"), Some(Roots::System)) => {
                return Err("sslrootcert=system needs sslmode=verify-full".into());
            }
            _ => {
                return Err(
                    "sslmode is none of disable, prefer, require, verify-ca, verify-full".into(),
                );
            }
        })
    }

    /// What connects so.
    ///
    /// # Errors
    ///
    /// What is wrong with the roots.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let known = provider.signature_verification_algorithms;
        let any_name = |roots| Arc::new(AnyName { roots, known });
        let config = match self {
            Self::Disable | Self::Prefer | Self::Require => builder
                .dangerous()
                .with_custom_certificate_verifier(any_name(None)),
            Self::VerifyFull(roots) => builder.with_root_certificates(roots.load()?),
            Self::VerifyChain(roots) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots.load()?.into(), provider);
                let verifier = verifier.build().map_err(|error| error.to_string())?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(any_name(Some(verifier)))
            }
        };
        Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
    }
}

impl Roots {
    fn load(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match self {
            Self::System => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if store.is_empty() {
                    return Err("this machine trusts no certificate: give sslrootcert=FILE".into());
                }
            }
            Self::File(path) => {
                let fail = |reason: String| {
                    format!(
                        "could not read the certificates in {}: {reason}",
                        path.display()
                    )
                };
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| fail(error.to_string()))?;
                    store
                        .add(certificate)
                        .map_err(|error| fail(error.to_string()))?;
                }
                if store.is_empty() {
                    return Err(fail("there are none".into()));
                }
            }
        }
        Ok(store)
    }
}

/// `text` with its `%40` and the like read.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("a % in it is not followed by two hexadecimal digits")?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

/// Asks for a root's word, where there are roots, and lets the name be any. Without them it takes whatever certificate
/// a server shows: the connection is encrypted, and nobody knows to whom.
#[derive(Debug)]
struct AnyName {
    roots: Option<Arc<WebPkiServerVerifier>>,
    known: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        match roots.verify_server_cert(certificate, between, name, ocsp, now) {
            // The name is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.known.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(parameters: &str) -> Result<TlsMode, String> {
        TlsMode::take_from(&format!("postgres://a@b/c?{parameters}")).map(|(_, mode)| mode)
    }

    #[test]
    fn a_mode_means_what_it_means_to_libpq() {
        let file = || Roots::File("/a b.pem".into());
        for (parameters, expected) in [
            ("", TlsMode::Prefer),
            ("sslmode=disable", TlsMode::Disable),
            ("sslmode=require", TlsMode::Require),
            (
                "sslmode=require&sslrootcert=/a%20b.pem",
                TlsMode::VerifyChain(file()),
            ),
            (
                "sslrootcert=/a%20b.pem&sslmode=verify-ca",
                TlsMode::VerifyChain(file()),
            ),
            ("sslmode=verify-full", TlsMode::VerifyFull(Roots::System)),
            ("sslrootcert=system", TlsMode::VerifyFull(Roots::System)),
        ] {
            assert_eq!(mode(parameters), Ok(expected), "{parameters}");
        }
        for wrong in [
            "sslmode=always",
            "sslmode=verify-ca",
            "sslmode=require&sslrootcert=system",
        ] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_other_parameters_are_left() {
        let (left, _) = TlsMode::take_from("postgres://a@b/c?x=1&sslmode=require&y=2").unwrap();
        assert_eq!(left, "postgres://a@b/c?x=1&y=2");
        let (left, mode) = TlsMode::take_from("postgres://a:p?q@b/c?sslmode=require").unwrap();
        assert_eq!((&*left, mode), ("postgres://a:p?q@b/c", TlsMode::Require));
    }
}
