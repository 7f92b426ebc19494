//! For how long a server is announced, as go-micro's settings say it.

use std::time::Duration;

use clap::{ArgMatches, Args, error::ErrorKind};

use crate::registry::access::Tenure;

/// Longer than anybody leaves a dead server announced, and short enough to be added to any time.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest: etcd raises a lease to about 2 s, the time that its own elections take.
const SHORTEST: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct TenureArgs {
    /// How long etcd or Consul keep the announcement of a server that is gone without a word, like 60 or 60s
    /// [default: 60s]
    #[arg(long, env = "MICRO_REGISTER_TTL", value_name = "TIME", value_parser = parse_ttl)]
    register_ttl: Option<Duration>,
    /// How often the server renews it [default: 30s, or half of --register-ttl where that is less]
    #[arg(long, env = "MICRO_REGISTER_INTERVAL", value_name = "TIME", value_parser = parse)]
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
    parse(text).and_then(|ttl| {
        let is_kept = ttl >= SHORTEST;
        is_kept.then_some(ttl).ok_or_else(|| {
            format!("no registry drops a server in less than {SHORTEST:?}: write that or more")
        })
    })
}

/// `30`, `30s`, `1m30s`: seconds as a plain number, or a duration as Go writes it.
fn parse(text: &str) -> Result<Duration, String> {
    const RULE: &str =
        "write seconds, like 30, or a time, like 30s or 1m30s, above 0 and at most a day";
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => Some(seconds),
        Err(_) => go_seconds(text),
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or_else(|| RULE.into())
}

/// The seconds in a duration as Go writes it: numbers, each with its unit.
fn go_seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, tail) = rest.split_at(unit_at);
        let next_at = tail
            .find(|char: char| char.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(next_at);
        seconds += number.parse::<f64>().ok()?
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return None,
            };
        rest = tail;
    }
    (!text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_what_go_writes() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("1.5", 1_500),
            ("60s", 60_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h0m0s", 3_600_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "", "0", "-1", "s", "5x", "5s5", "NaN", "inf", "25h", "1e300",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
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
