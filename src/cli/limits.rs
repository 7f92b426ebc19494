//! What a server takes on at once, as flags and variables say it.

use std::{ops::RangeInclusive, time::Duration};

use clap::{Args, value_parser};

use super::duration::parse_duration;
use crate::server::Limits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// A chunk of a bulk load is 64 KiB and the consignment that fills it, of up to 256 KiB; somewhat more than that is asked
/// for. The most is what a stock client takes in a reply, several times.
const MESSAGE_BYTES: RangeInclusive<u64> = 384 * KIB..=16 * MIB;
/// From what gRPC's own headers take with a token to HTTP/2's largest frame.
const HEADER_BYTES: RangeInclusive<u64> = 2 * KIB..=16 * MIB;
/// From some of the largest messages to what a large machine has to spare.
const QUEUE_BYTES: RangeInclusive<u64> = MIB..=4096 * MIB;

/// How much there may be of what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// Connections at once: where all are taken, the one that has asked for nothing for the longest is closed for the next
    #[arg(long, env = "SHIPPY_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = Limits::default().connections as u64, value_parser = value_parser!(u64).range(1..=1_000_000))]
    max_connections: u64,
    /// Connections at once from one address, or one IPv6 network of 64 bits; behind Docker's published ports and load
    /// balancers all clients have one [default: any number]
    #[arg(long, env = "SHIPPY_MAX_CONNECTIONS_PER_PEER", value_name = "COUNT", value_parser = value_parser!(u64).range(1..=1_000_000))]
    max_connections_per_peer: Option<u64>,
    /// Requests at work at once, and as many again that are on their way in
    #[arg(long, env = "SHIPPY_MAX_REQUESTS", value_name = "COUNT", default_value_t = Limits::default().requests as u64, value_parser = value_parser!(u64).range(1..=100_000))]
    max_requests: u64,
    /// Bulk loads at once
    #[arg(long, env = "SHIPPY_MAX_LOADS", value_name = "COUNT", default_value_t = Limits::default().loads as u64, value_parser = value_parser!(u64).range(1..=10_000))]
    max_loads: u64,
    /// Lists at once, followed ones among them
    #[arg(long, env = "SHIPPY_MAX_LISTS", value_name = "COUNT", default_value_t = Limits::default().lists as u64, value_parser = value_parser!(u64).range(1..=100_000))]
    max_lists: u64,
    /// Requests at once on one connection
    #[arg(long, env = "SHIPPY_MAX_STREAMS", value_name = "COUNT", default_value_t = Limits::default().streams, value_parser = value_parser!(u32).range(1..=10_000))]
    max_streams: u32,
    /// The largest message that is read, like 512KiB
    #[arg(long, env = "SHIPPY_MAX_MESSAGE_BYTES", value_name = "BYTES", default_value = "512KiB", value_parser = |text: &str| parse_bytes(text, &MESSAGE_BYTES))]
    max_message_bytes: u64,
    /// The most that one request's headers take
    #[arg(long, env = "SHIPPY_MAX_HEADER_BYTES", value_name = "BYTES", default_value = "16KiB", value_parser = |text: &str| parse_bytes(text, &HEADER_BYTES))]
    max_header_bytes: u64,
    /// The most that consignments take which wait to be stored
    #[arg(long, env = "SHIPPY_MAX_QUEUE_BYTES", value_name = "BYTES", default_value = "32MiB", value_parser = |text: &str| parse_bytes(text, &QUEUE_BYTES))]
    max_queue_bytes: u64,
    /// How long a connection may ask for nothing
    #[arg(long, env = "SHIPPY_IDLE_TIMEOUT", value_name = "TIME", default_value = "5m", value_parser = parse_time)]
    idle_timeout: Duration,
    /// How long a client may leave unread what it has asked for
    #[arg(long, env = "SHIPPY_STALL_TIMEOUT", value_name = "TIME", default_value = "60s", value_parser = parse_time)]
    stall_timeout: Duration,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        // Each was checked to be far below what a usize holds.
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Limits {
            connections: count(self.max_connections),
            connections_per_peer: self.max_connections_per_peer.map(count),
            requests: count(self.max_requests),
            loads: count(self.max_loads),
            lists: count(self.max_lists),
            streams: self.max_streams,
            message_bytes: count(self.max_message_bytes),
            header_bytes: u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX),
            queue_bytes: count(self.max_queue_bytes),
            idle_timeout: self.idle_timeout,
            stall_timeout: self.stall_timeout,
        }
    }
}

/// `524288`, `512KiB`, `4MiB`.
fn parse_bytes(text: &str, allowed: &RangeInclusive<u64>) -> Result<u64, String> {
    let (number, unit) = match text.find(|char: char| !char.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let unit = match unit.trim_start() {
        "" | "B" => Some(1),
        "KiB" => Some(KIB),
        "MiB" => Some(MIB),
        _ => None,
    };
    unit.zip(number.parse::<u64>().ok())
        .and_then(|(unit, number)| number.checked_mul(unit))
        .filter(|bytes| allowed.contains(bytes))
        .ok_or_else(|| {
            format!(
                "write bytes, like 524288, 512KiB or 4MiB, from {} KiB to {} MiB",
                allowed.start() / KIB,
                allowed.end() / MIB
            )
        })
}

/// At least as long as a request takes that is answered at once over a slow network.
fn parse_time(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_secs(1);
    (parse_duration(text).ok())
        .filter(|time| *time >= SHORTEST)
        .ok_or_else(|| {
            format!("write seconds, like 30, or a time, like 1m30s, from {SHORTEST:?} to a day")
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn what_is_not_said_is_what_the_server_takes_by_itself() {
        let limits = Alone::parse_from(["serve"]).limits.limits();
        assert_eq!(format!("{limits:?}"), format!("{:?}", Limits::default()));
    }

    #[test]
    fn bytes_are_a_number_or_have_a_unit() {
        for (text, bytes) in [
            ("393216", 384 * KIB),
            ("512KiB", 512 * KIB),
            ("4 MiB", 4 * MIB),
        ] {
            assert_eq!(parse_bytes(text, &MESSAGE_BYTES), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "KiB",
            "0",
            "-1",
            "1MB",
            "383KiB",
            "17MiB",
            "1.5MiB",
            "99999999999999999999MiB",
        ] {
            assert!(parse_bytes(text, &MESSAGE_BYTES).is_err(), "{text:?}");
        }
    }
}
