//! `shippy health`

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;

use super::{Exit, connect::ClientArgs};
use crate::address::Address;

/// Ask a server whether it serves
///
/// Prints what it answered and where, and exits with 0 if it serves and with 1 if it does not. Made for health checks:
/// where --address is set, as it is for the server on this machine, that server is asked and no other. It takes no token.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Ask the server on this machine that listens there, unless --server is given
    #[arg(long, env = "MICRO_SERVER_ADDRESS", value_name = "HOST:PORT")]
    address: Option<Address>,
    /// Ask there instead, in clear: where the server on this machine answers health checks alone
    #[arg(long, env = "SHIPPY_PROBE_ADDRESS", value_name = "HOST:PORT")]
    probe_address: Option<Address>,
}

impl HealthArgs {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let probe = self.probe_address.and_then(local_address);
        let address = self.address.and_then(local_address);
        let health = (self.client.health_client(probe, address)?)
            .health()
            .await?;
        let word = if health.serving {
            "SERVING"
        } else {
            "NOT_SERVING"
        };
        writeln!(
            std::io::stdout(),
            "{word} at {}, register {}",
            health.address,
            health.register
        )
        .context("could not print")?;
        Ok(if health.serving {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

/// Where a server on this machine that listens on `address` is reached; `None` when its port is not known.
fn local_address(address: Address) -> Option<String> {
    let host = match address.host.as_str() {
        "" | "0.0.0.0" => "127.0.0.1".into(),
        "::" => "::1".into(),
        _ => address.host,
    };
    let port = address.port;
    (port != 0).then(|| Address { host, port }.to_string())
}
