//! Durable creates in flight, beside the limits and beside what else keeps records.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Subject,
    bare::Bare,
    client,
    disk::Log,
    index::{self, CATCH_UP_LIMIT, Lag},
    load::{Sample, Span, median},
    peers,
    plan::Plan,
    record::Ids,
    report::{Report, TARGETED},
    server::Server,
    system::System,
    text,
};

/// How many calls are in flight, a row each.
const IN_FLIGHT: [usize; 4] = [1, 16, 64, 256];
/// What the disk is left alone for between two figures, so that one does not pay for the other.
const PAUSE: Duration = Duration::from_millis(300);

/// shippy's part of the echo's rate at 64 in flight.
const RATE_TARGET: f64 = 0.7;
/// The longest p99 at 64 in flight, as a multiple of the echo's and some more.
const P99_TARGET: (u32, Duration) = (2, Duration::from_millis(5));
/// The longest p50 at 1 in flight: the echo's and so many times the disk's.
const SYNC_TARGET: f64 = 1.5;
/// shippy's rate as a multiple of etcd's at 64 in flight.
const ETCD_TARGET: f64 = 3.0;

/// A server on a register of its own.
struct Shippy {
    server: Server,
    register: PathBuf,
}

impl System for Shippy {
    fn name(&self) -> &'static str {
        "shippy"
    }

    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        Ok(client::creates(&self.server.address, in_flight, span, Ids::Time)?.0)
    }
}

struct Systems {
    log: Log,
    echo: Bare,
    shippy: Shippy,
    peers: Vec<Box<dyn System>>,
}

pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let headings = ["", "in flight", "rate", "p50", "p99"];
    report.section("Durable creates in flight, beside the limits", &headings);
    let register = subject.folder.path().join("creates.db");
    let (server, _) = Server::start(subject, &register)?;
    let mut systems = Systems {
        log: Log::new(subject.folder.path())?,
        echo: Bare::start("")?,
        shippy: Shippy { server, register },
        peers: peers::start(subject, report),
    };
    for in_flight in IN_FLIGHT {
        systems.rows(in_flight, plan, report)?;
    }
    report.section("Creates: ratios, medians of interleaved rounds", &TARGETED);
    systems.alone(plan, report)?;
    systems.at_64(plan, report)?;
    systems.at_256(plan, report)?;
    systems.shippy.server.stop()
}

impl Systems {
    /// A row for each. A peer that fails is left out from there on.
    fn rows(&mut self, in_flight: usize, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        let ours: [&mut dyn System; 3] = [&mut self.log, &mut self.echo, &mut self.shippy];
        for system in ours {
            let sample = run(system, in_flight, plan.span)?;
            row(system.name(), in_flight, &sample, report);
        }
        self.peers.retain_mut(|peer| {
            let sample = run(&mut **peer, in_flight, plan.span);
            match &sample {
                Ok(sample) => row(peer.name(), in_flight, sample, report),
                Err(error) => report.note(format!("{}: failed, {error:#}", peer.name())),
            }
            sample.is_ok()
        });
        Ok(())
    }

    /// One call at a time: what a create takes beside the echo and the disk.
    fn alone(&mut self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        let (mut echo, mut shippy, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.pairs {
            syncs.push(self.log.sync_time()?);
            echo.push(run(&mut self.echo, 1, plan.span)?.p50);
            shippy.push(run(&mut self.shippy, 1, plan.span)?.p50);
        }
        let (echo, shippy, sync) = (median(echo), median(shippy), median(syncs));
        let limit = echo + sync.mul_f64(SYNC_TARGET);
        report.figure("append + fdatasync, p50", text::time(sync));
        report.figure("echo at 1 in flight, p50", text::time(echo));
        report.target(
            "shippy at 1 in flight, p50",
            text::time(shippy),
            format!("<= echo + {SYNC_TARGET} fdatasync = {}", text::time(limit)),
            shippy <= limit,
        );
        Ok(())
    }

    fn at_64(&mut self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        let (mut echo, mut shippy, mut lags) = (Vec::new(), Vec::new(), Vec::new());
        let mut peers = vec![Vec::new(); self.peers.len()];
        for _ in 0..plan.pairs {
            echo.push(run(&mut self.echo, 64, plan.span)?);
            shippy.push(self.shippy.creates(64, plan.span)?);
            lags.extend(index::watch(&self.shippy.register));
            thread::sleep(PAUSE);
            for (peer, samples) in self.peers.iter_mut().zip(&mut peers) {
                samples.push(run(&mut **peer, 64, plan.span)?);
            }
        }
        beside_echo(&echo, &shippy, report);
        for (peer, samples) in self.peers.iter().zip(&peers) {
            beside_peer(peer.name(), 64, &shippy, samples, report);
        }
        index_row(&lags, report);
        Ok(())
    }

    fn at_256(&mut self, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
        let redis = self
            .peers
            .iter_mut()
            .find(|peer| peer.name() == peers::REDIS);
        let Some(redis) = redis else { return Ok(()) };
        let (mut shippy, mut samples) = (Vec::new(), Vec::new());
        for _ in 0..plan.pairs {
            shippy.push(run(&mut self.shippy, 256, plan.span)?);
            samples.push(run(&mut **redis, 256, plan.span)?);
        }
        beside_peer(peers::REDIS, 256, &shippy, &samples, report);
        Ok(())
    }
}

pub(crate) fn run(system: &mut dyn System, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
    let begun = Instant::now();
    let sample = system.creates(in_flight, span);
    eprintln!(
        "{} at {in_flight}: {}, {:.1} s",
        system.name(),
        sample
            .as_ref()
            .map_or_else(|_| "failed".into(), |sample| text::rate(sample.rate)),
        begun.elapsed().as_secs_f64()
    );
    thread::sleep(PAUSE);
    sample
}

pub(crate) fn row(name: &str, in_flight: usize, sample: &Sample, report: &mut Report) {
    report.row(vec![
        name.into(),
        in_flight.to_string(),
        text::rate(sample.rate),
        text::time(sample.p50),
        text::time(sample.p99),
    ]);
}

/// The median of the ratios of the rates, and the smallest and largest.
pub(crate) fn ratios(ours: &[Sample], others: &[Sample]) -> (f64, String) {
    let ratios = ours
        .iter()
        .zip(others)
        .map(|(ours, other)| ours.rate / other.rate);
    let middle = median(ratios.clone());
    let least = ratios.clone().fold(f64::INFINITY, f64::min);
    let most = ratios.fold(0.0, f64::max);
    (middle, format!("{middle:.2} ({least:.2} to {most:.2})"))
}

fn beside_echo(echo: &[Sample], shippy: &[Sample], report: &mut Report) {
    let (ratio, text) = ratios(shippy, echo);
    let target = format!(">= {RATE_TARGET}, aim 0.85");
    report.target(
        "shippy / echo at 64, rate",
        text,
        target,
        ratio >= RATE_TARGET,
    );

    let p99 = |samples: &[Sample]| median(samples.iter().map(|sample| sample.p99));
    let limit = p99(echo) * P99_TARGET.0 + P99_TARGET.1;
    report.target(
        "shippy at 64, p99",
        text::time(p99(shippy)),
        format!("<= 2 echo + 5 ms = {}", text::time(limit)),
        p99(shippy) <= limit,
    );
}

fn beside_peer(
    name: &str,
    in_flight: usize,
    shippy: &[Sample],
    peer: &[Sample],
    report: &mut Report,
) {
    let (ratio, text) = ratios(shippy, peer);
    let what = format!("shippy / {name} at {in_flight}, rate");
    if name == peers::ETCD {
        report.target(
            &what,
            text,
            format!(">= {ETCD_TARGET}"),
            ratio >= ETCD_TARGET,
        );
    } else {
        report.figure(&what, text);
    }
}

/// The worst lag of all.
pub(crate) fn index_row(lags: &[Lag], report: &mut Report) {
    let what = "index behind at the end, until caught up";
    let Some(worst) = lags.iter().max_by_key(|lag| lag.caught_up) else {
        report.figure(what, "could not be read".into());
        return;
    };
    report.target(
        what,
        format!(
            "{}, {}",
            text::count(text::as_f64(worst.behind)),
            text::time(worst.caught_up)
        ),
        format!("within {}", text::time(CATCH_UP_LIMIT)),
        worst.caught_up <= CATCH_UP_LIMIT,
    );
}
