//! `shippy serve`

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process,
};

use anyhow::Context as _;
use clap::{ArgMatches, Args, error::ErrorKind, parser::ValueSource};
use prometheus_client::registry::Registry;

use super::{
    Exit, ServiceArgs,
    connect::parse_host,
    interrupt::{Interrupts, or_interrupted},
    limits::LimitArgs,
    security::ServerSecurityArgs,
    store::{self, StoreArgs},
    tenure::{self, TenureArgs},
};
use crate::{
    address::Address,
    backend::{RegistryKind, StoreUrl},
    consignment,
    registry::{Instance, Kind, Preference, RegistryError},
    server::{self, Counts, Server},
    store::{QueueBound, Store},
    web::Hosts,
};

mod preflight;
mod traced;

/// Longest announced version, in bytes, and longest id before what makes it unique: what a registry takes.
const MAX_VERSION_BYTES: usize = 64;
const MAX_ID_BYTES: usize = 48;

/// Keep a register and announce it to clients
///
/// Listens on this machine alone unless --lan or --address opens it to the network. Prints one line once clients can
/// find it. Serves until SIGTERM or SIGINT (Ctrl-C), then lets what is under way end, for 8 seconds at most; a second
/// signal ends it at once. What was acknowledged is on disk either way.
///
/// Requests are traced where OpenTelemetry's variables say so: `OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4317` and its like.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Where to listen: :PORT means every interface of this machine, port 0 any free port
    #[arg(
        long,
        env = "MICRO_SERVER_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:0"
    )]
    address: Address,
    /// Open the server to the network: the same as --address :0
    #[arg(long)]
    lan: bool,
    /// Only see whether the server would start with these settings: whether its files load, it can listen, its store
    /// opens and its registry answers. Changes nothing, and prints a line for each
    #[arg(long)]
    check: bool,
    /// The address to announce instead of the one listened on, for a server behind NAT or a published port; repeat it for
    /// further ones, the best first. Port 0 stands for the port listened on
    #[arg(
        long,
        env = "MICRO_SERVER_ADVERTISE",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = parse_host
    )]
    advertise: Vec<Address>,
    #[command(flatten)]
    store: StoreArgs,
    /// A further name that browsers and other HTTP clients may ask for the server by, beside IP addresses, localhost and the
    /// announced names; repeat it for several
    #[arg(
        long,
        env = "SHIPPY_HTTP_HOST",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = parse_http_host
    )]
    http_host: Vec<String>,
    /// How the announced id begins, which is made unique at each start
    #[arg(long, env = "MICRO_SERVER_ID", value_name = "ID", value_parser = parse_id)]
    id: Option<String>,
    /// The version to announce
    #[arg(long, env = "MICRO_SERVER_VERSION", value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"), value_parser = parse_version)]
    server_version: String,
    #[command(flatten)]
    tenure: TenureArgs,
    #[command(flatten)]
    security: ServerSecurityArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Refuses what contradicts itself. An address that the environment sets gives way to `--lan`: what is typed counts
/// before what is set.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let address = matches.value_source("address");
    if matches.get_flag("lan") && address == Some(ValueSource::CommandLine) {
        return Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            "--lan and --address both say where to listen: give one of them; to open a certain port to the network, \
             give --address :PORT\n",
        ));
    }
    store::check(matches)?;
    tenure::check(matches)
}

impl ServeArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        if self.check {
            return or_interrupted(preflight::run(&self)).await;
        }
        let mut interrupts = Interrupts::new()?;
        let (server, ready, warning) = tokio::select! {
            set_up = self.set_up() => set_up?,
            // Names are looked up and locks waited for; nothing has been promised to anybody yet.
            _ = interrupts.next() => return Ok(Exit::Interrupted),
        };
        let address = server.listener.local_addr()?;
        let said = |announced| say_ready(&ready, announced, address, warning);
        let ended = server.run(said, first_of(interrupts)).await?;
        if ended.cut > 0 {
            tracing::warn!("cut {} connections that had not ended in time", ended.cut);
        }
        tracing::info!("stopped");
        Ok(Exit::Done)
    }

    /// Binds, then opens the store, so that of two servers on one port the second touches nothing. The server, what to
    /// say once it is ready, and what to warn of.
    async fn set_up(self) -> anyhow::Result<(Server, String, Option<&'static str>)> {
        let name = self.service.name.clone();
        let url = self.store.url(&name)?;
        let registry = self.service.registry(self.tenure.tenure())?;
        if self.service.registry == RegistryKind::Dns {
            tracing::info!(
                "--registry dns announces nothing: clients find this server once DNS names it, by an SRV record \
                 _shippy._tcp.NAME or by its address with port 50051"
            );
        }
        let protection = self.security.load()?;
        let listener = server::bind(&self.listens_on()).await?;
        let probe = match &self.security.probe_address {
            Some(address) => Some(server::bind(address).await.context("--probe-address")?),
            None => None,
        };
        let address = listener
            .local_addr()
            .context("could not tell the address listened on")?;
        let mut limits = self.limits.limits();
        limits.connections = server::make_room(limits.connections);
        let mut metrics = Registry::default();
        let counts = Counts::new(&mut metrics);
        let bound = QueueBound {
            bytes: limits.queue_bytes,
            refused: counts.queue(),
        };
        let store = url.open(&name, bound).await?;
        let mut protected = protection.describe();
        if let Some(probe) = &probe {
            protected = format!("{protected}, health alone on {}", probe.local_addr()?);
        }
        let board = board(address, protection.tls.is_some());
        let ready = ready_line(&name, address, &url, &*store, &protected, &board);
        let warning = self.security.warning();
        let hosts = self.hosts();
        let instance = self.instance(address, &*store, protection.tls.is_some());
        let server = Server {
            listener,
            registry,
            traces: traced::begin(&instance),
            instance,
            store,
            tls: protection.tls,
            tokens: protection.tokens,
            probe,
            hosts,
            limits,
            counts,
            metrics,
        };
        Ok((server, ready, warning))
    }

    /// Where to listen.
    fn listens_on(&self) -> Address {
        if self.lan {
            let host = String::new();
            Address { host, port: 0 }
        } else {
            self.address.clone()
        }
    }

    /// What the server is called by those who were told of it.
    fn hosts(&self) -> Hosts {
        let listened = self.listens_on();
        let told = self.advertise.iter().chain([&listened]);
        let told = told.map(|address| address.host.clone());
        let named = self.http_host.iter().cloned();
        Hosts::new(told.filter(|host| !host.is_empty()).chain(named))
    }

    fn instance(self, address: SocketAddr, store: &dyn Store, tls: bool) -> Instance {
        let addresses = addresses(self.advertise, address);
        Instance {
            id: unique_id(self.id.as_deref()),
            name: self.service.name,
            version: self.server_version,
            addresses,
            register: store.register().to_owned(),
            kind: if store.is_shared() {
                Kind::Shared
            } else {
                Kind::Single
            },
            tls,
            preference: Preference::default(),
        }
    }
}

/// Where to send clients: to the `advertised` addresses, each once, or to the one `listened` on.
fn addresses(advertised: Vec<Address>, listened: SocketAddr) -> Vec<String> {
    let mut addresses = Vec::new();
    for mut address in advertised {
        if address.port == 0 {
            address.port = listened.port();
        }
        let text = address.to_string();
        if !addresses.contains(&text) {
            addresses.push(text);
        }
    }
    if addresses.is_empty() {
        addresses.push(listened.to_string());
    }
    addresses
}

/// An id that no other server process has. One and the same setting for several servers is a slip that is easily made,
/// and would make them one to everybody who looks for them.
fn unique_id(beginning: Option<&str>) -> String {
    let unique = consignment::new_id();
    match beginning {
        // The last group of a UUIDv7 is random.
        Some(text) => format!("{text}-{}", unique.rsplit('-').next().unwrap_or_default()),
        None => unique,
    }
}

fn parse_id(text: &str) -> Result<String, String> {
    match super::parse_name(text) {
        Ok(id) if id.len() > MAX_ID_BYTES => Err(format!("it is over {MAX_ID_BYTES} bytes long")),
        parsed => parsed,
    }
}

fn parse_http_host(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        "write a host's name in ASCII as its URL has it, without a scheme, port or path".into()
    })
}

fn parse_version(text: &str) -> Result<String, String> {
    let is_sound = (1..=MAX_VERSION_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound.then(|| text.to_owned()).ok_or_else(|| {
        format!("a version is 1 to {MAX_VERSION_BYTES} printable ASCII characters without spaces")
    })
}

/// Waits for the first signal; from then on the next one ends the process on the spot.
async fn first_of(mut interrupts: Interrupts) {
    let name = interrupts.next().await;
    tracing::info!("{name}: stopping; once more ends at once");
    tokio::spawn(async move {
        interrupts.next().await;
        process::exit(Exit::Interrupted as i32);
    });
}

fn ready_line(
    name: &str,
    address: SocketAddr,
    url: &StoreUrl,
    store: &dyn Store,
    protected: &str,
    board: &str,
) -> String {
    let reach = match address.ip() {
        ip if ip.is_loopback() => {
            "; this machine only: `shippy serve --lan` opens it to the network"
        }
        _ => "",
    };
    let register = store.register();
    format!(
        "shippy serves {name} on {address}, store {url}, register {register}{protected}, board {board}{reach}"
    )
}

/// Where a browser on this machine finds the board, and, through a published port, one on the machine of this container.
fn board(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    if address.ip().is_unspecified() {
        format!("{scheme}://localhost:{}/", address.port())
    } else {
        format!("{scheme}://{address}/")
    }
}

/// Standard output gets one line, once the server answers; without a reader it is done without.
fn say_ready(
    line: &str,
    announced: Result<(), RegistryError>,
    address: SocketAddr,
    warning: Option<&str>,
) {
    if let Err(error) = announced {
        let port = address.port();
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => "HOST".into(),
            IpAddr::V6(ip) if ip.is_unspecified() => "HOST".into(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let until = if error.is_tried_again() {
            " until it is, which is tried again and again"
        } else {
            ""
        };
        tracing::warn!("not announced, so clients need --server {host}:{port}{until}: {error}");
    }
    if let Some(warning) = warning.filter(|_| !address.ip().is_loopback()) {
        tracing::warn!("anyone who reaches {address} {warning}");
    }
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
