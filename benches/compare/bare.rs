//! shippy's server without a register: the ceiling for anything that is served by it.
//!
//! This program starts itself again for it, and answers on the runtime, with the allocator and through the connections
//! of `shippy serve`.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    pin::Pin,
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use futures_util::{Stream, stream};
use rustix::process::Signal;
use shippy::proto::{
    self, Consignment, CreateChunk, GetRequest, ListChunk, ListRequest, OutcomeChunk,
    shipping_service_client::ShippingServiceClient, shipping_service_server::ShippingService,
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    client,
    load::{Sample, Span},
    record::Ids,
    running::Running,
    system::System,
};

/// Set where this program is to be such a server; its value is a server whose list it takes over first, if any.
const ROLE: &str = "SHIPPY_BENCH_BARE";

/// A server that answers with what it was sent.
pub(crate) struct Bare {
    _running: Running,
    pub(crate) address: String,
}

impl Bare {
    /// Starts one. It lists what the server at `original` lists, held in memory; nothing when that is empty.
    pub(crate) fn start(original: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.env(ROLE, original);
        // It ends with its standard input, so also when this program is killed.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command, Signal::TERM)?;
        let stdout = running.child.stdout.take().context("it has no output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().to_owned();
        anyhow::ensure!(!address.is_empty(), "the bare server did not start");
        Ok(Self {
            _running: running,
            address,
        })
    }
}

impl System for Bare {
    fn name(&self) -> &'static str {
        "echo, shippy's server without a store"
    }

    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        Ok(client::creates(&self.address, in_flight, span, Ids::Time)?.0)
    }
}

/// This program as such a server.
pub(crate) struct Role {
    original: String,
}

impl Role {
    pub(crate) fn asked_for() -> Option<Self> {
        let original = env::var(ROLE).ok()?;
        Some(Self { original })
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        shippy::cli::runtime()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let chunks = match self.original.as_str() {
                "" => Vec::new(),
                original => all_chunks(original).await?,
            };
            let mut stdout = std::io::stdout();
            writeln!(stdout, "{}", listener.local_addr()?)?;
            let parent = tokio::task::spawn_blocking(|| {
                let _ = std::io::stdin().read(&mut [0]);
            });
            let service = Answers(chunks.into());
            tokio::select! {
                served = shippy::server::serve_bare(listener, service) => served?,
                _ = parent => {}
            }
            // The thread that reads standard input is not waited for.
            std::process::exit(0)
        })
    }
}

async fn all_chunks(address: &str) -> anyhow::Result<Vec<ListChunk>> {
    let mut client = ShippingServiceClient::new(client::connect(address).await?);
    let listed = client.list_consignments(ListRequest::default()).await?;
    let mut listed = listed.into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = listed.message().await? {
        chunks.push(chunk);
    }
    Ok(chunks)
}

struct Answers(Arc<[ListChunk]>);

#[tonic::async_trait]
impl ShippingService for Answers {
    async fn create_consignment(
        &self,
        request: Request<Consignment>,
    ) -> Result<Response<proto::Response>, Status> {
        Ok(Response::new(proto::Response {
            created: true,
            consignment: Some(request.into_inner()),
            consignments: Vec::new(),
        }))
    }

    async fn get_consignments(
        &self,
        _: Request<GetRequest>,
    ) -> Result<Response<proto::Response>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    type ListConsignmentsStream = Pin<Box<dyn Stream<Item = Result<ListChunk, Status>> + Send>>;

    async fn list_consignments(
        &self,
        _: Request<ListRequest>,
    ) -> Result<Response<Self::ListConsignmentsStream>, Status> {
        let chunks = Arc::clone(&self.0);
        let chunks = (0..chunks.len()).map(move |at| Ok(chunks[at].clone()));
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }

    type CreateConsignmentsStream = stream::Empty<Result<OutcomeChunk, Status>>;

    async fn create_consignments(
        &self,
        _: Request<Streaming<CreateChunk>>,
    ) -> Result<Response<Self::CreateConsignmentsStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}
