//! Certificates and keys in files, as both ends of a TLS connection need them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

mod validity;

pub use validity::{Complaint, Validity, distance};

/// The name in a server's certificate that clients expect unless they are told another. It is configured and not looked
/// up: whoever answers a search could say any.
pub const SERVER_NAME: &str = "shippy";

/// What HTTP/2 is called in a TLS handshake (RFC 9113 §3.2).
pub const HTTP2: &[u8] = b"h2";
/// What HTTP/1.1 is called there (RFC 7301 §6).
pub const HTTP1: &[u8] = b"http/1.1";

/// Why a file with a certificate or a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// It cannot be read.
    #[error("could not read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// It holds something else.
    #[error("{} holds no {wanted} in PEM format{hint}", path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What it is to hold.
        wanted: &'static str,
        /// What it holds instead, where that is known.
        hint: &'static str,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {} is not that of the certificate in {}: give the two files that were made together",
        key.display(),
        certificate.display()
    )]
    NotItsKey {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// It makes no sense.
    #[error("could not use {}: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What encrypts.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificate in one file, with those that vouch for it after it, and its key in another.
///
/// # Errors
///
/// [`TlsFileError`].
pub fn identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsFileError> {
    let chain = certificates(certificate)?;
    let identity = CertifiedKey::from_der(chain, private_key(key)?, &provider());
    identity.map(Arc::new).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsFileError::NotItsKey {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
        // Only these two were looked at, and a certificate whose key cannot be read cannot be compared with one.
        rustls::Error::InvalidCertificate(_) => unusable(certificate, &error),
        _ => unusable(key, &error),
    })
}

/// The certificate authorities in a file.
///
/// # Errors
///
/// [`TlsFileError`].
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        (roots.add(certificate)).map_err(|error| unusable(path, &error))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(TlsFileError::Lacks {
            path: path.to_owned(),
            wanted: "certificate",
            hint: "",
        });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    let pem = read(path)?;
    let holds = |label: &str| {
        pem.windows(label.len())
            .any(|part| part == label.as_bytes())
    };
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsFileError::Lacks {
        path: path.to_owned(),
        wanted: "private key",
        hint: if holds("ENCRYPTED") {
            ", or one under a password: shippy cannot ask for it, so take the password off and keep others from reading \
             the file"
        } else if holds("BEGIN CERTIFICATE") {
            ", but a certificate"
        } else {
            ""
        },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    fs::read(path).map_err(|reason| TlsFileError::Unreadable {
        path: path.to_owned(),
        reason,
    })
}

fn unusable(path: &Path, error: &impl ToString) -> TlsFileError {
    TlsFileError::Unusable {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A folder with a certificate and its key, and another pair.
    fn files() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            let made = rcgen::generate_simple_self_signed(vec![name.into()]).unwrap();
            let path = folder.path().join(name);
            fs::write(path.with_extension("pem"), made.cert.pem()).unwrap();
            fs::write(path.with_extension("key"), made.signing_key.serialize_pem()).unwrap();
        }
        folder
    }

    #[test]
    fn a_pair_is_read_and_two_halves_are_not() {
        let folder = files();
        let at = |name: &str| folder.path().join(name);
        let pair = |certificate: &str, key: &str| identity(&at(certificate), &at(key)).map(drop);
        assert!(pair("one.pem", "one.key").is_ok());
        let said = |certificate, key| pair(certificate, key).unwrap_err().to_string();
        assert!(said("one.pem", "two.key").contains("made together"));
        assert!(said("one.pem", "one.pem").contains("but a certificate"));
        assert!(said("one.key", "one.key").contains("holds no certificate"));
        assert!(said("one.pem", "nowhere").contains("No such file"));
    }

    #[test]
    fn what_is_damaged_is_told_with_its_file() {
        let folder = files();
        let at = |name: &str| folder.path().join(name);
        let pem = |label: &str, body: &str| {
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        fs::write(at("bad.pem"), pem("CERTIFICATE", "AAAA")).unwrap();
        fs::write(at("locked.key"), pem("ENCRYPTED PRIVATE KEY", "AAAA")).unwrap();
        fs::write(at("bad.key"), pem("PRIVATE KEY", "AAAA")).unwrap();
        let said = |error: TlsFileError| error.to_string();
        let of = |certificate, key| said(identity(&at(certificate), &at(key)).unwrap_err());
        assert!(said(authorities(&at("bad.pem")).unwrap_err()).contains("bad.pem"));
        assert!(of("bad.pem", "one.key").contains("bad.pem"));
        assert!(of("one.pem", "bad.key").contains("bad.key"));
        assert!(of("one.pem", "locked.key").contains("under a password"));
    }
}
