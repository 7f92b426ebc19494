//! `shippy serve --check`: whether a server would start, seen without starting it.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::timeout;

use super::{ServeArgs, traced};
use crate::{
    backend::RegistryKind,
    causes::chain,
    cli::{Exit, exit::UsageError},
    escape::escape_control,
    registry::RegistryError,
    server,
    store::Prospect,
    tls::Complaint,
};

/// How long the registry may take to answer.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at one thing after the other and tells of each. Goes on after a failure, so that all of them are told.
pub(super) async fn run(args: &ServeArgs) -> anyhow::Result<Exit> {
    let mut report = Report { exit: Exit::Done };
    look_at_files(args, &mut report)?;
    look_at_addresses(args, &mut report).await?;
    look_at_store(args, &mut report).await?;
    look_at_registry(args, &mut report).await?;
    traced::look(&mut report).await?;
    Ok(report.exit)
}

fn look_at_files(args: &ServeArgs, report: &mut Report) -> anyhow::Result<()> {
    match args.security.check_tls() {
        None => {}
        Some(Ok(None)) => tell("ok", "tls", "certificate and key belong together")?,
        Some(Ok(Some(complaint))) => {
            let text = format!("the certificate {complaint}");
            match complaint {
                Complaint::NotGood(_) => report.fail("tls", &anyhow::Error::msg(text))?,
                Complaint::EndsSoon(_) => tell("warning", "tls", &text)?,
            }
        }
        Some(Err(error)) => report.fail("tls", &error.into())?,
    }
    match args.security.check_tokens() {
        None => Ok(()),
        Some(Ok(())) => tell("ok", "tokens", "they can be used"),
        Some(Err(error)) => report.fail("tokens", &error.into()),
    }
}

async fn look_at_addresses(args: &ServeArgs, report: &mut Report) -> anyhow::Result<()> {
    let address = args.listens_on();
    let bound = server::bind(&address).await;
    match &bound {
        Ok(listener) => {
            let free = format!("{address} can be listened on");
            tell("ok", "address", &free)?;
            let is_open = !listener.local_addr()?.ip().is_loopback();
            if let Some(warning) = args.security.warning().filter(|_| is_open) {
                let text = format!("anyone who reaches {address} {warning}");
                tell("warning", "access", &text)?;
            }
        }
        Err(error) => report.fail("address", error)?,
    }
    // While the other is held, as both would be.
    if let Some(probe) = &args.security.probe_address {
        match server::bind(probe).await.context("--probe-address") {
            Ok(_) => tell("ok", "probe", &format!("{probe} can be listened on"))?,
            Err(error) => report.fail("probe", &error)?,
        }
    }
    Ok(())
}

async fn look_at_store(args: &ServeArgs, report: &mut Report) -> anyhow::Result<()> {
    let name = &args.service.name;
    let looked = async {
        let url = args.store.url(name)?;
        let prospect = url.prospect(name).await?;
        Ok((url, prospect))
    };
    match looked.await {
        Ok((url, prospect)) => {
            let found = prospect.as_ref().map_or_else(
                || "it is kept only while the server runs".to_owned(),
                describe,
            );
            tell("ok", "store", &format!("{url}: {found}"))?;
            for warning in prospect.into_iter().flat_map(|prospect| prospect.warnings) {
                tell("warning", "store", &warning)?;
            }
            Ok(())
        }
        Err(error) => report.fail("store", &error),
    }
}

fn describe(prospect: &Prospect) -> String {
    let found = match &prospect.register {
        Some(register) => format!("register {register}"),
        None => "a new register would be made".to_owned(),
    };
    match prospect.migration {
        Some((from, to)) => format!(
            "{found}; a start brings its schema from version {from} to {to}, and older servers do not open it then"
        ),
        None => found,
    }
}

async fn look_at_registry(args: &ServeArgs, report: &mut Report) -> anyhow::Result<()> {
    let kind = args.service.registry;
    let registry = match args.service.registry(args.tenure.tenure()) {
        Ok(registry) => registry,
        Err(error) => return report.fail("registry", &error.into()),
    };
    let place = registry.describe();
    let checked = timeout(REGISTRY_TIMEOUT, registry.check(&args.service.name)).await;
    let checked = checked.unwrap_or_else(|_| {
        Err(RegistryError::Away {
            registry: place.clone(),
            reason: format!("no answer within {REGISTRY_TIMEOUT:?}"),
        })
    });
    match (checked, kind) {
        (Ok(()), RegistryKind::Dns | RegistryKind::Static) => {
            tell("ok", "registry", "nothing is announced")
        }
        (Ok(()), RegistryKind::Mdns) => tell("ok", "registry", &place),
        (Ok(()), RegistryKind::Etcd | RegistryKind::Consul) => {
            tell("ok", "registry", &format!("{place} answers"))
        }
        (Err(error), RegistryKind::Mdns) => {
            let text = format!("clients will need --server: {error}");
            tell("warning", "registry", &text)
        }
        (Err(error), _) => report.fail("registry", &error.into()),
    }
}

/// Prints a line.
pub(super) fn tell(state: &str, what: &str, text: &str) -> anyhow::Result<()> {
    let text = escape_control(text);
    writeln!(io::stdout(), "{state:<7}  {what:<8}  {text}").context("could not print")
}

/// How the command ends.
pub(super) struct Report {
    exit: Exit,
}

impl Report {
    /// Tells of what would keep a server from starting. Settings count before all else, as they do at a start.
    pub(super) fn fail(&mut self, what: &str, error: &anyhow::Error) -> anyhow::Result<()> {
        if error.is::<UsageError>() {
            self.exit = Exit::Usage;
        } else if self.exit == Exit::Done {
            self.exit = Exit::Failed;
        }
        tell("failed", what, &chain(error.as_ref()))
    }
}
