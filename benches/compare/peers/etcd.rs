//! etcd as a cluster of one, driven by calls like shippy's.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::process::Signal;
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use super::{ETCD, KEY_BYTES, VALUE_BYTES};
use crate::{
    client,
    load::{Sample, Span, closed_loop},
    running::Running,
    server::free_address,
    system::System,
};

/// `etcdserverpb.PutRequest`, as far as it is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`, of which nothing is needed.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

pub(super) struct Etcd {
    _running: Running,
    address: String,
    /// Puts that were begun, so that each has a key of its own.
    count: Arc<AtomicU64>,
}

impl Etcd {
    pub(super) fn start(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("etcd");
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let url = format!("http://{address}");
        let peer_url = format!("http://{}", free_address()?);
        let mut command = Command::new("etcd");
        command.env_clear().arg("--data-dir").arg(&folder);
        command.args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ]);
        command.args(["--listen-peer-urls", &peer_url]);
        command.args(["--initial-advertise-peer-urls", &peer_url]);
        command.args(["--initial-cluster", &format!("default={peer_url}")]);
        command.args(["--log-level", "fatal"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut running = Running::start(&mut command, Signal::TERM)?;
        let runtime = client::runtime()?;
        running.wait_until(|| runtime.block_on(answers(&address)))?;
        Ok(Self {
            _running: running,
            address,
            count: Arc::default(),
        })
    }
}

async fn answers(address: &str) -> bool {
    let Ok(channel) = client::connect(address).await else {
        return false;
    };
    put(channel, 0).await.is_ok()
}

async fn put(channel: Channel, number: u64) -> anyhow::Result<()> {
    let request = PutRequest {
        key: format!("{number:0KEY_BYTES$}").into_bytes(),
        value: vec![b'x'; VALUE_BYTES],
    };
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    let codec = ProstCodec::<PutRequest, PutResponse>::default();
    client
        .unary(tonic::Request::new(request), path, codec)
        .await?;
    Ok(())
}

impl System for Etcd {
    fn name(&self) -> &'static str {
        ETCD
    }

    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        let count = Arc::clone(&self.count);
        client::runtime()?.block_on(async {
            let channels = client::connections(&self.address, in_flight).await?;
            closed_loop(in_flight, span, move |caller| {
                let channel = channels[caller % channels.len()].clone();
                put(channel, count.fetch_add(1, Ordering::Relaxed))
            })
            .await
        })
    }
}
