//! A server process.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use shippy::proto::{ListRequest, shipping_service_client::ShippingServiceClient};
use tonic::transport::Endpoint;

use crate::{Subject, process};

/// How long a start may take before it counts as failed.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long a server that does not listen yet is left alone: small beside what is measured.
const RETRY: Duration = Duration::from_micros(200);

/// A running `shippy serve`. It is killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// The name that it is found by.
    pub(crate) name: String,
}

impl Server {
    /// Starts one on the register at `store`; it, and the time from then to its first answer.
    pub(crate) fn start(subject: &Subject, store: &Path) -> anyhow::Result<(Self, Duration)> {
        let name = format!("figures.{}", uuid::Uuid::now_v7());
        Self::start_as(subject, &format!("sqlite:{}", store.display()), name)
    }

    /// The same on the store at `url`, under a name that others may have, too.
    pub(crate) fn start_as(
        subject: &Subject,
        url: &str,
        name: String,
    ) -> anyhow::Result<(Self, Duration)> {
        let address = free_address()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut command = subject.command();
        command.args(["serve", "--address", &address, "--name", &name]);
        command
            .args(["--store", url])
            .stdout(Stdio::null())
            .env("SHIPPY_LOG", "warn");
        let begun = Instant::now();
        let child = command.spawn().context("could not start shippy serve")?;
        let mut server = Self {
            child,
            address,
            name,
        };
        runtime.block_on(server.first_answer(begun + START_DEADLINE))?;
        Ok((server, begun.elapsed()))
    }

    async fn first_answer(&mut self, deadline: Instant) -> anyhow::Result<()> {
        let url = format!("http://{}", self.address);
        let endpoint = Endpoint::from_shared(url.clone())?;
        loop {
            if let Ok(channel) = endpoint.connect().await {
                let mut client = ShippingServiceClient::new(channel);
                let request = ListRequest {
                    limit: 1,
                    ..ListRequest::default()
                };
                let mut chunks = client.list_consignments(request).await?.into_inner();
                while chunks.message().await?.is_some() {}
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("shippy serve: {status}");
            }
            ensure!(Instant::now() < deadline, "no answer at {url}");
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Its resident memory in bytes, once that no longer changes.
    pub(crate) fn settled_memory(&self) -> anyhow::Result<u64> {
        process::settled_memory(self.id())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("shippy serve: {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}
