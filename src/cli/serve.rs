//! `shippy serve`

use std::{
    env, fs,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process,
};

use anyhow::Context as _;
use clap::{ArgMatches, Args, error::ErrorKind, parser::ValueSource};

use super::{
    Exit, ServiceArgs,
    connect::parse_host,
    exit::UsageError,
    interrupt::Interrupts,
    security::ServerSecurityArgs,
    tenure::{self, TenureArgs},
};
use crate::{
    address::Address,
    backend::{RegistryKind, StoreUrl},
    consignment,
    registry::{Instance, Kind, Preference, RegistryError},
    server::{self, Server},
    store::Store,
};

/// Longest announced version, in bytes, and longest id before what makes it unique: what a registry takes.
const MAX_VERSION_BYTES: usize = 64;
const MAX_ID_BYTES: usize = 48;

const STORE_HELP: &str = "Where to keep the register: sqlite:FILE, sqlite:FOLDER/, \
    postgres://USER@HOST/DATABASE for one that several servers share, or memory: to keep it only while the server runs \
    [default: a file of the service's name in the user's data folder]";

/// Keep a register and announce it to clients
///
/// Listens on this machine alone unless --lan or --address opens it to the network. Prints one line once clients can
/// find it. Serves until SIGTERM or SIGINT (Ctrl-C), then lets what is under way end, for 8 seconds at most; a second
/// signal ends it at once. What was acknowledged is on disk either way.
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
    #[arg(long, env = "SHIPPY_STORE", value_name = "URL", help = STORE_HELP)]
    store: Option<String>,
    /// A file with the URL of --store in it, which may then hold a password
    #[arg(long, env = "SHIPPY_STORE_FILE", value_name = "PATH")]
    store_file: Option<PathBuf>,
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
    check_store(matches)?;
    tenure::check(matches)
}

/// Refuses two stores, and a password where every process of the machine can read it.
fn check_store(matches: &ArgMatches) -> Result<(), clap::Error> {
    let (store, file) = (
        matches.value_source("store"),
        matches.value_source("store_file"),
    );
    let is_typed = |source| source == Some(ValueSource::CommandLine);
    if is_typed(store) && is_typed(file) {
        return Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            "--store and --store-file both say where to keep the register: give one of them\n",
        ));
    }
    let url = matches.get_one::<String>("store");
    let url = url.filter(|_| is_typed(store));
    // Where it cannot be read this is not what is wrong with it.
    if url.is_some_and(|url| url.parse().is_ok_and(|url: StoreUrl| url.has_password())) {
        return Err(clap::Error::raw(
            ErrorKind::ValueValidation,
            "--store holds a password, which every user of this machine can read there: set SHIPPY_STORE instead, or \
             give a file with the URL as --store-file, or keep the password in ~/.pgpass\n",
        ));
    }
    Ok(())
}

impl ServeArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
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
    async fn set_up(mut self) -> anyhow::Result<(Server, String, Option<&'static str>)> {
        if self.lan {
            self.address.host.clear();
            self.address.port = 0;
        }
        let name = self.service.name.clone();
        let url = self.store_url(&name)?;
        let registry = self.service.registry(self.tenure.tenure())?;
        if self.service.registry == RegistryKind::Dns {
            tracing::info!(
                "--registry dns announces nothing: clients find this server once DNS names it, by an SRV record \
                 _shippy._tcp.NAME or by its address with port 50051"
            );
        }
        let protection = self.security.load()?;
        let listener = server::bind(&self.address).await?;
        let probe = match &self.security.probe_address {
            Some(address) => Some(server::bind(address).await.context("--probe-address")?),
            None => None,
        };
        let address = listener
            .local_addr()
            .context("could not tell the address listened on")?;
        let store = url.open(&name).await?;
        let mut protected = protection.describe();
        if let Some(probe) = &probe {
            protected = format!("{protected}, health alone on {}", probe.local_addr()?);
        }
        let ready = ready_line(&name, address, &url, &*store, &protected);
        let warning = protection.warning();
        let server = Server {
            listener,
            registry,
            instance: self.instance(address, &*store, protection.tls.is_some()),
            store,
            tls: protection.tls,
            tokens: protection.tokens,
            probe,
        };
        Ok((server, ready, warning))
    }

    /// Where to keep the register. What is typed counts before what is set, and of what is set the file before the URL,
    /// which the image sets.
    fn store_url(&self, name: &str) -> anyhow::Result<StoreUrl> {
        let text = match (&self.store, &self.store_file) {
            (Some(url), Some(_)) if env::var("SHIPPY_STORE").as_ref() != Ok(url) => {
                Some(url.clone())
            }
            (_, Some(path)) => Some(read_store(path)?),
            (url, None) => url.clone(),
        };
        Ok(match text {
            Some(text) => parse_store(&text)?.named(name),
            None => StoreUrl::default_for(name)?,
        })
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

fn parse_version(text: &str) -> Result<String, String> {
    let is_sound = (1..=MAX_VERSION_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_sound.then(|| text.to_owned()).ok_or_else(|| {
        format!("a version is 1 to {MAX_VERSION_BYTES} printable ASCII characters without spaces")
    })
}

/// Not left to clap, which would print the whole value: it may hold a password.
fn parse_store(text: &str) -> Result<StoreUrl, UsageError> {
    text.parse().map_err(|reason| {
        let scheme = text.split(':').next().unwrap_or_default();
        UsageError(format!("could not use the store {scheme:?}: {reason}"))
    })
}

/// The URL that the file at `path` holds.
fn read_store(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("could not read --store-file {}", path.display()))?;
    Ok(text.trim().to_owned())
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
) -> String {
    let reach = match address.ip() {
        ip if ip.is_loopback() => {
            "; this machine only: `shippy serve --lan` opens it to the network"
        }
        _ => "",
    };
    let register = store.register();
    format!("shippy serves {name} on {address}, store {url}, register {register}{protected}{reach}")
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
