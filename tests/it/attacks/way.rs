//! How one speaks to a server: in clear or by TLS.

use std::{fs, path::Path, sync::Arc};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use shippy::tls::{HTTP1, HTTP2, SERVER_NAME, authorities, provider};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::attacker::Target;
use crate::{
    security::{Authority, Pair},
    support::{
        Server,
        answer::{Answer, get, open},
    },
};

/// In clear, or by TLS with a server that has a certificate.
pub(super) struct Way(Option<(Authority, Pair)>);

impl Way {
    pub(super) fn in_clear() -> Self {
        Self(None)
    }

    /// With a certificate in `folder`.
    pub(super) fn by_tls(folder: &Path) -> Self {
        let authority = Authority::new(folder, "ca");
        let pair = authority.server(folder, SERVER_NAME);
        Self(Some((authority, pair)))
    }

    /// What the server is started with.
    pub(super) fn serve_args(&self) -> Vec<&str> {
        let pair = self.0.as_ref().map(|(_, pair)| pair.args());
        pair.into_iter().flatten().collect()
    }

    /// What shippy's clients are started with.
    pub(super) fn ask_args(&self) -> Vec<&str> {
        match &self.0 {
            None => Vec::new(),
            Some((authority, _)) => vec!["--tls-ca", &authority.file],
        }
    }

    /// The server to those who are honest.
    pub(super) fn endpoint(&self, server: &Server) -> Endpoint {
        let Some((authority, _)) = &self.0 else {
            return Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        };
        let pem = fs::read(&authority.file).unwrap();
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(pem))
            .domain_name(SERVER_NAME);
        let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
        endpoint.tls_config(tls).unwrap()
    }

    /// The server to those who are not.
    pub(super) fn target(&self, server: &Server) -> Target {
        Target {
            address: server.address,
            tls: self.config(HTTP2),
        }
    }

    /// What the server measures, in the text format of Prometheus.
    pub(super) fn metrics(&self, server: &Server) -> String {
        let Some(config) = self.config(HTTP1) else {
            return get(server.address, "/metrics", &[]).is(200).body;
        };
        let connection = ClientConnection::new(config, SERVER_NAME.try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, open(server.address));
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        Answer::read(&mut stream).is(200).body
    }

    fn config(&self, http: &[u8]) -> Option<Arc<ClientConfig>> {
        let (authority, _) = self.0.as_ref()?;
        let roots = authorities(Path::new(&authority.file)).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![http.to_vec()];
        Some(Arc::new(config))
    }
}
