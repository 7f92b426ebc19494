//! Traces, where the environment asks for them. What is wrong with that never keeps a server from serving.

use std::{env, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::preflight::{Report, tell};
use crate::{
    causes::chain,
    registry::Instance,
    traces::{Identity, Settings, Traces, Unusable},
};

/// How long the collector may take to be connected to.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(5);

fn settings() -> Result<Option<Settings>, Unusable> {
    Settings::read(|name| env::var(name).ok())
}

/// Begins to export the traces of the server that is `instance`.
pub(super) fn begin(instance: &Instance) -> Option<Traces> {
    let begun = settings().and_then(|settings| {
        let Some(settings) = settings else {
            return Ok(None);
        };
        for ignored in &settings.ignored {
            tracing::warn!("{ignored}");
        }
        let identity = Identity {
            service: instance.name.clone(),
            instance: instance.id.clone(),
            version: instance.version.clone(),
        };
        let traces = Traces::begin(&settings, identity)?;
        tracing::info!("traces are exported to {}", settings.collector);
        Ok(Some(traces))
    });
    begun.unwrap_or_else(|error| {
        tracing::warn!("traces are not exported: {}", chain(&error));
        None
    })
}

/// Looks whether they could be exported.
pub(super) async fn look(report: &mut Report) -> anyhow::Result<()> {
    let settings = match settings() {
        Ok(Some(settings)) => settings,
        Ok(None) => return Ok(()),
        Err(error) => return report.fail("traces", &error.into()),
    };
    for ignored in &settings.ignored {
        tell("warning", "traces", ignored)?;
    }
    let collector = &settings.collector;
    let connecting = TcpStream::connect(settings.address());
    match timeout(COLLECTOR_TIMEOUT, connecting).await {
        Ok(Ok(_)) => tell("ok", "traces", &format!("{collector} can be connected to")),
        Ok(Err(error)) => {
            let error = anyhow::Error::from(error);
            report.fail(
                "traces",
                &error.context(format!("could not connect to {collector}")),
            )
        }
        Err(_) => {
            let error =
                format!("{collector} could not be connected to within {COLLECTOR_TIMEOUT:?}");
            report.fail("traces", &anyhow::Error::msg(error))
        }
    }
}
