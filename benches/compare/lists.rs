//! Whole lists and first pages.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use shippy::proto::ListRequest;
use tonic::transport::Channel;

use crate::{
    Subject,
    bare::Bare,
    bulk::{self, MEMORY_TARGET},
    client,
    load::{Span, median},
    plan::Plan,
    record::Ids,
    register,
    report::{Report, TARGETED},
    server::Server,
    text,
};

/// Consignments a second, from the start of the command to its end.
const RATE_TARGET: f64 = 500_000.0;
/// The rpc's part of the rate at which the same chunks are streamed from memory.
const STREAM_TARGET: f64 = 0.8;
/// How long the first page of one ship may take.
const PAGE_TARGET: Duration = Duration::from_millis(3);
const PAGE_RECORDS: u64 = 100;
/// Creates in flight while pages are asked for.
const IN_FLIGHT: usize = 64;

pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let count = plan.bulk;
    let title = format!("Lists of {}", text::count(text::as_f64(count)));
    report.section(&title, &TARGETED);
    let register = register::of(subject, count)?;
    let (server, _) = Server::start(subject, &register)?;
    whole(subject, plan, &server, report)?;
    streamed(plan, &server, report)?;
    first_pages(plan, &server, report)?;
    server.stop()
}

/// `shippy list`, and what it takes.
fn whole(
    subject: &Subject,
    plan: &Plan,
    server: &Server,
    report: &mut Report,
) -> anyhow::Result<()> {
    let idle = server.settled_memory()?;
    bulk::forget_peak(server.id())?;
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..plan.lists {
        let mut command = subject.command();
        command.args(["list", "-o", "ndjson", "--server", &server.address]);
        let ran = bulk::run(&mut command)?;
        times.push(ran.time);
        peaks.push(ran.peak);
    }
    let rate = text::as_f64(plan.bulk) / median(times).as_secs_f64();
    report.target(
        "shippy list -o ndjson, end to end",
        text::rate(rate),
        format!(">= {}", text::rate(RATE_TARGET)),
        rate >= RATE_TARGET,
    );
    bulk::memory_row(
        "server's peak memory above idle",
        bulk::peak(server.id())?,
        idle,
        report,
    );
    let client_idle = bulk::idle_client(subject, server)?;
    let most = peaks.into_iter().max().unwrap_or_default();
    bulk::memory_row("client's peak memory above idle", most, client_idle, report);
    report.note(format!(
        "memory is resident (VmRSS, VmHWM), files that are mapped included; at most {} more than idle",
        text::mib(MEMORY_TARGET)
    ));
    Ok(())
}

/// The rpc beside a stream of the same chunks from memory.
fn streamed(plan: &Plan, server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let memory = Bare::start(&server.address)?;
    let runtime = client::runtime()?;
    let rate = |channel: &Channel| {
        let begun = Instant::now();
        let count = runtime.block_on(client::list(channel, ListRequest::default()))?;
        ensure!(count == plan.bulk, "{count} were listed");
        anyhow::Ok(text::as_f64(count) / begun.elapsed().as_secs_f64())
    };
    let ceiling = runtime.block_on(client::connect(&memory.address))?;
    let register = runtime.block_on(client::connect(&server.address))?;
    let (mut ceilings, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        ceilings.push(rate(&ceiling)?);
        rates.push(rate(&register)?);
        ratios.push(rates[rates.len() - 1] / ceilings[ceilings.len() - 1]);
    }
    report.figure("the same chunks from memory", text::rate(median(ceilings)));
    report.figure("ListConsignments alone", text::rate(median(rates)));
    let ratio = median(ratios);
    report.target(
        "ListConsignments / from memory",
        format!("{ratio:.2}"),
        format!(">= {STREAM_TARGET}"),
        ratio >= STREAM_TARGET,
    );
    Ok(())
}

/// The first page of one ship, on a quiet server and while creates run.
fn first_pages(plan: &Plan, server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let quiet = lookups(plan, server)?;
    page_row("first 100 of a vessel, p50, p99", &quiet, report);
    let span = Span {
        warm_up: plan.span.warm_up,
        time: plan.span.time * 2,
    };
    let (busy, sample) = thread::scope(|scope| {
        let creates = scope.spawn(|| client::creates(&server.address, IN_FLIGHT, span, Ids::Time));
        thread::sleep(span.warm_up);
        let mut busy = Vec::new();
        while !creates.is_finished() {
            busy.push(lookup(server)?);
        }
        let creates = creates.join().expect("the callers do not panic")?;
        anyhow::Ok((busy.concat(), creates.0))
    })?;
    page_row("the same while creates run", &busy, report);
    report.figure("creates meanwhile, 64 in flight", text::rate(sample.rate));
    Ok(())
}

fn lookups(plan: &Plan, server: &Server) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while times.len() < plan.lookups {
        times.extend(lookup(server)?);
    }
    Ok(times)
}

/// Some first pages, each of another ship, over a connection that is open.
fn lookup(server: &Server) -> anyhow::Result<Vec<Duration>> {
    const PAGES: u64 = 10;
    client::runtime()?.block_on(async {
        let channel = client::connect(&server.address).await?;
        // The connection's own beginning is no part of it.
        client::list(&channel, client::page(0, 1)).await?;
        let mut times = Vec::new();
        for number in 0..PAGES {
            let request = client::of_vessel(number * 97 + 13, PAGE_RECORDS);
            let begun = Instant::now();
            client::list(&channel, request).await?;
            times.push(begun.elapsed());
        }
        Ok(times)
    })
}

fn page_row(what: &str, times: &[Duration], report: &mut Report) {
    let mut times = times.to_vec();
    times.sort_unstable();
    let middle = median(times.iter().copied());
    let p99 = times[(times.len() - 1) * 99 / 100];
    report.target(
        what,
        format!("{}, {}", text::time(middle), text::time(p99)),
        format!("p50 <= {}", text::time(PAGE_TARGET)),
        middle <= PAGE_TARGET,
    );
}
