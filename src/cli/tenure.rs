//! For how long a server is announced, as go-micro's settings say it.

use std::time::Duration;

use clap::{ArgMatches, Args, error::ErrorKind};

use super::duration::parse_duration;
use crate::registry::access::Tenure;

/// The shortest: etcd raises a lease to about 2 s, the time that its own elections take.
const SHORTEST: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct TenureArgs {
    /// How long etcd or Consul keep the announcement of a server that is gone without a word, like 60 or 60s
    /// [default: 60s]
    #[arg(long, env = "MICRO_REGISTER_TTL", value_name = "TIME", value_parser = parse_ttl)]
    register_ttl: Option<Duration>,
    /// How often the server renews it [default: 30s, or half of --register-ttl where that is less]
    #[arg(long, env = "MICRO_REGISTER_INTERVAL", value_name = "TIME", value_parser = parse_duration)]
    register_interval: Option<Duration>,
}

impl TenureArgs {
    /// How long an announcement lasts and how often it is renewed.
    pub(super) fn tenure(&self) -> Tenure {
        tenure(self.register_ttl, self.register_interval)
    }
}

/// Refuses an announcement that would lapse before it is renewed.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let given = |id: &str| matches.get_one::<Duration>(id).copied();
    let Tenure { ttl, interval } = tenure(given("register_ttl"), given("register_interval"));
    if interval < ttl {
        return Ok(());
    }
    Err(clap::Error::raw(
        ErrorKind::ValueValidation,
        format!(
            "--register-interval ({interval:?}) has to be less than --register-ttl ({ttl:?}): the announcement would \
             lapse before it is renewed\n"
        ),
    ))
}

fn tenure(ttl: Option<Duration>, interval: Option<Duration>) -> Tenure {
    let usual = Tenure::default();
    let ttl = ttl.unwrap_or(usual.ttl);
    Tenure {
        ttl,
        interval: interval.unwrap_or_else(|| usual.interval.min(ttl / 2)),
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|ttl| {
        let is_kept = ttl >= SHORTEST;
        is_kept.then_some(ttl).ok_or_else(|| {
            format!("no registry drops a server in less than {SHORTEST:?}: write that or more")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_one_that_registries_keep() {
        assert!(parse_ttl("1s").is_err() && parse_ttl("2s").is_ok());
    }

    #[test]
    fn an_interval_that_is_not_given_fits() {
        let seconds = Duration::from_secs;
        assert_eq!(tenure(None, None), Tenure::default());
        assert_eq!(tenure(Some(seconds(30)), None).interval, seconds(15));
        assert_eq!(tenure(Some(seconds(90)), None).interval, seconds(30));
    }
}
