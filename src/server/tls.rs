//! TLS as the server speaks it.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    ServerConfig,
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::current::Current;
use crate::tls::{self, Complaint, HTTP1, HTTP2, Validity};

/// The files that TLS is spoken with.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate, and those that vouch for it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who vouches for clients, where they have to show a certificate.
    pub client_authorities: Option<PathBuf>,
}

/// TLS with what is in the files now.
pub type Tls = Current<Loaded>;

/// What was in the files.
pub struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the server's certificate ends, in seconds since 1970, where it says so.
    pub(super) not_after: Option<u64>,
}

impl TlsFiles {
    /// Loads what is in them.
    ///
    /// # Errors
    ///
    /// [`tls::TlsFileError`].
    pub fn load(self) -> anyhow::Result<Tls> {
        let Self {
            certificate, key, ..
        } = self.clone();
        let files = [
            Some(certificate),
            Some(key),
            self.client_authorities.clone(),
        ];
        let files = files.into_iter().flatten().collect();
        Current::load("TLS", files, move || self.loaded())
    }

    /// Whether they can be loaded, and what is to be said of the certificate's time.
    ///
    /// # Errors
    ///
    /// As [`TlsFiles::load`].
    pub fn check(&self) -> anyhow::Result<Option<Complaint>> {
        let identity = tls::identity(&self.certificate, &self.key)?;
        let complaint = complaint(&identity);
        self.config_of(identity).map(|_| complaint)
    }

    fn loaded(&self) -> anyhow::Result<Loaded> {
        let identity = tls::identity(&self.certificate, &self.key)?;
        if let Some(complaint) = complaint(&identity) {
            let path = self.certificate.display();
            tracing::warn!("the certificate in {path} {complaint}");
        }
        Ok(Loaded {
            not_after: validity(&identity).map(|validity| validity.not_after()),
            config: Arc::new(self.config_of(identity)?),
        })
    }

    fn config_of(&self, identity: Arc<CertifiedKey>) -> anyhow::Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = tls::authorities(path)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, tls::provider()).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        // A session that is taken up again shows no certificate, so each connection begins anew: one that has expired
        // meanwhile, or whose authority is trusted no more, would otherwise still do.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// What is wrong, or soon will be, with the time that the certificate is good for.
fn complaint(identity: &CertifiedKey) -> Option<Complaint> {
    validity(identity)?.complaint(SystemTime::now())
}

fn validity(identity: &CertifiedKey) -> Option<Validity> {
    Validity::of(identity.cert.first()?)
}

/// Who `certificate` is for: the URIs in it and then the DNS names, as SPIFFE and others name a workload.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let all = (certificate.valid_uri_names()).chain(certificate.valid_dns_names());
    all.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_is_for_its_uris_and_dns_names() {
        let names_in = |all: Vec<SanType>| {
            let mut params = CertificateParams::default();
            params.subject_alt_names = all;
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            names(certificate.der())
        };
        let text = |text: &str| text.try_into().unwrap();
        let uri = SanType::URI(text("spiffe://depot/crane"));
        let host = SanType::DnsName(text("crane.depot"));
        let address = SanType::IpAddress([127, 0, 0, 1].into());
        assert_eq!(
            names_in(vec![host, address.clone(), uri]),
            ["spiffe://depot/crane", "crane.depot"]
        );
        assert!(names_in(vec![address]).is_empty());
        assert!(names(&CertificateDer::from_slice(b"no certificate")).is_empty());
    }
}
