//! A collector of OpenTelemetry's, which keeps what it is sent.

use std::{
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{ResourceSpans, Span},
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime::Builder,
    sync::{oneshot, watch},
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

use super::eventually;

/// It ends when this goes out of scope.
pub(crate) struct Collector {
    pub(crate) address: String,
    kept: Kept,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

#[derive(Clone, Default)]
struct Kept {
    all: Arc<Mutex<Vec<(MetadataMap, ResourceSpans)>>>,
    /// Whether those who send wait.
    is_held: watch::Sender<bool>,
}

#[async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut is_held = self.is_held.subscribe();
        let _ = is_held.wait_for(|is_held| !is_held).await;
        let metadata = request.metadata().clone();
        let spans = request.into_inner().resource_spans.into_iter();
        (self.all.lock().unwrap()).extend(spans.map(|spans| (metadata.clone(), spans)));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// One at `address`, where port 0 is any.
    pub(crate) fn start(address: &str) -> Self {
        Self::start_with(address, None)
    }

    /// One at `address` that speaks TLS with the certificate and key in these files.
    pub(crate) fn start_tls(address: &str, certificate: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::start_with(address, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_with(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let kept = Kept::default();
        let app: Router = tonic::service::Routes::new(TraceServiceServer::new(kept.clone()))
            .prepare()
            .into_axum_router();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let running = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, tls, app) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            kept,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Takes nothing until it is let go.
    pub(crate) fn hold(&self, is_held: bool) {
        self.kept.is_held.send_replace(is_held);
    }

    /// All that it was sent so far, each with what came along.
    pub(crate) fn all(&self) -> Vec<(MetadataMap, ResourceSpans)> {
        self.kept.all.lock().unwrap().clone()
    }

    /// The spans among it.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let scopes = (self.all().into_iter()).flat_map(|(_, resource)| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// The one span that `is_it`, once it is there.
    #[track_caller]
    pub(crate) fn span(&self, is_it: impl Fn(&Span) -> bool) -> Span {
        eventually("the span is exported", || {
            let mut all = self.spans();
            all.retain(&is_it);
            assert!(all.len() < 2, "{all:#?}");
            all.pop()
        })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.running.take().map(JoinHandle::join);
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, app: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, app) = (tls.clone(), app.clone());
        tokio::spawn(async move {
            match tls {
                None => answer(stream, app).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, app).await;
                    }
                }
            }
        });
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, app: Router) {
    let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    let app = TowerToHyperService::new(app);
    let _ = builder.serve_connection(TokioIo::new(stream), app).await;
}

/// What `attributes` say of `name`, as text.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}

/// `bytes` as ids are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}
