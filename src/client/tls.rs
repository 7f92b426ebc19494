//! TLS as the client speaks it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig,
    client::{Resumption, WebPkiServerVerifier},
    pki_types::ServerName,
    sign::SingleCertAndKey,
};
use tokio_rustls::TlsConnector;

use crate::tls::{self, HTTP2};

/// How servers are known, and the client to them.
#[derive(Clone)]
pub struct Tls {
    pub(super) connector: TlsConnector,
    /// The name that a server's certificate is to be for.
    pub(super) name: ServerName<'static>,
    /// Where the authorities come from, for people.
    pub(super) authority: PathBuf,
}

impl Tls {
    /// Servers whose certificates come from the authorities in the file `authority` and are for `name`, to which the
    /// client shows the certificate in `identity`, the files of it and its key, where they ask for one.
    ///
    /// # Errors
    ///
    /// [`tls::TlsFileError`].
    pub fn load(
        authority: &Path,
        identity: Option<(&Path, &Path)>,
        name: ServerName<'static>,
    ) -> anyhow::Result<Self> {
        let roots = tls::authorities(authority)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, tls::provider());
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_webpki_verifier(verifier.build()?);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let identity = tls::identity(certificate, key)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        // Servers take none up again.
        config.resumption = Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name,
            authority: authority.to_owned(),
        })
    }
}

/// Without the key, whatever rustls would say of it.
impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Tls");
        shown
            .field("name", &self.name)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}
