//! What one operation costs on registers of different sizes.

use std::{
    fs, mem,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use shippy::consignment;

use crate::{
    Subject, callgrind, client,
    load::median,
    plan::Plan,
    record::Ids,
    register,
    report::{Report, verdict},
    server::Server,
    text,
};

const IN_FLIGHT: usize = 64;
/// How far the costs on the largest register may be from those on the smallest: what the noise is.
const RATE_TARGET: f64 = 0.9;
const WORK_TARGET: f64 = 1.1;
/// Consignments of one page in the middle of a register.
const PAGE_RECORDS: u64 = 256;

/// One register, served.
struct Sized {
    register: PathBuf,
    size: u64,
    server: Server,
}

/// What creates with one sort of ids cost on one register.
#[derive(Default, Clone)]
struct Costs {
    rates: Vec<f64>,
    /// Bytes written for each create.
    written: Vec<f64>,
}

pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let mut headings = vec![String::new()];
    headings.extend(
        plan.sizes
            .iter()
            .map(|size| text::count(text::as_f64(*size))),
    );
    headings.extend(["target".into(), String::new()]);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    report.section("One operation on registers of different sizes", &headings);

    let mut registers = Vec::new();
    for size in &plan.sizes {
        registers.push(Sized::serve(subject, *size)?);
    }
    for ids in Ids::ALL {
        creates(subject, plan, &mut registers, ids, report)?;
    }
    reads(plan, &registers, report)?;
    report.note(
        "bytes written include what moves from the log into the register (write_bytes of the process), but for what \
         is moved later"
            .into(),
    );
    let registers: anyhow::Result<Vec<PathBuf>> = registers.into_iter().map(Sized::stop).collect();
    instructions(plan, &registers?, report)
}

impl Sized {
    /// Serves a copy of the register of `size`, as it grows while it is measured.
    fn serve(subject: &Subject, size: u64) -> anyhow::Result<Self> {
        let name = format!("sized-{}.db", consignment::new_id());
        let register = subject.folder.path().join(name);
        register::copy(&register::of(subject, size)?, &register)?;
        let (server, _) = Server::start(subject, &register)?;
        Ok(Self {
            register,
            size,
            server,
        })
    }

    /// Ends the server; the register that it has served.
    fn stop(self) -> anyhow::Result<PathBuf> {
        self.server.stop()?;
        Ok(self.register)
    }
}

/// Creates on each register in turn, several times; the smallest begins anew each time, as it would soon be none.
fn creates(
    subject: &Subject,
    plan: &Plan,
    registers: &mut [Sized],
    ids: Ids,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut costs = vec![Costs::default(); registers.len()];
    for _ in 0..plan.pairs.min(3) {
        let anew = Sized::serve(subject, registers[0].size)?;
        register::remove(&mem::replace(&mut registers[0], anew).stop()?)?;
        for (sized, costs) in registers.iter().zip(&mut costs) {
            let before = written(sized.server.id())?;
            let address = &sized.server.address;
            let (sample, count) = client::creates(address, IN_FLIGHT, plan.span, ids)?;
            let bytes = written(sized.server.id())? - before;
            eprintln!(
                "{} of {}: {}",
                ids.name(),
                sized.size,
                text::rate(sample.rate)
            );
            costs.rates.push(sample.rate);
            costs.written.push(text::ratio(bytes, count));
        }
    }
    let rates: Vec<f64> = costs
        .iter()
        .map(|costs| median(costs.rates.iter().copied()))
        .collect();
    let written: Vec<f64> = costs
        .iter()
        .map(|costs| median(costs.written.iter().copied()))
        .collect();
    // Random ids write all over the index of ids, and the more so the larger it is: that is told, not hidden.
    let is_bound = ids != Ids::Random;
    let name = ids.name();
    let target = is_bound.then_some(Target::AtLeast(RATE_TARGET));
    row(
        &format!("creates at 64, {name}"),
        &rates,
        text::rate,
        target,
        report,
    );
    let target = is_bound.then_some(Target::AtMost(WORK_TARGET));
    let bytes = |bytes| format!("{} B", text::count(bytes));
    row(
        &format!("written per create, {name}"),
        &written,
        bytes,
        target,
        report,
    );
    Ok(())
}

/// What the last figure of a row may be beside the first.
#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

fn row(
    what: &str,
    figures: &[f64],
    as_text: impl Fn(f64) -> String,
    target: Option<Target>,
    report: &mut Report,
) {
    let mut cells = vec![what.to_owned()];
    cells.extend(figures.iter().copied().map(as_text));
    let growth = figures[figures.len() - 1] / figures[0];
    let (text, met) = match target {
        None => (format!("told: {growth:.2}"), String::new()),
        Some(Target::AtLeast(least)) => {
            (format!("{growth:.2} >= {least}"), verdict(growth >= least))
        }
        Some(Target::AtMost(most)) => (format!("{growth:.2} <= {most}"), verdict(growth <= most)),
    };
    cells.extend([text, met]);
    report.row(cells);
}

/// What a process has written to files, in bytes.
fn written(id: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/io"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("no write_bytes in /proc")?.parse()?)
}

/// Pages of each register.
fn reads(plan: &Plan, registers: &[Sized], report: &mut Report) -> anyhow::Result<()> {
    let (mut middle, mut vessel) = (Vec::new(), Vec::new());
    for sized in registers {
        let (page, first) = client::runtime()?.block_on(async {
            let channel = client::connect(&sized.server.address).await?;
            let (mut pages, mut firsts) = (Vec::new(), Vec::new());
            for number in 0..plan.lookups as u64 {
                let after = sized.size / 2 + number;
                pages.push(timed(&channel, client::page(after, PAGE_RECORDS)).await?);
                firsts.push(timed(&channel, client::of_vessel(number * 97, 10)).await?);
            }
            anyhow::Ok((median(pages), median(firsts)))
        })?;
        middle.push(page.as_secs_f64());
        vessel.push(first.as_secs_f64());
    }
    let time = |seconds| text::time(Duration::from_secs_f64(seconds));
    row(
        "page of 256 in the middle, p50",
        &middle,
        time,
        None,
        report,
    );
    row("first 10 of a vessel, p50", &vessel, time, None, report);
    Ok(())
}

async fn timed(
    channel: &tonic::transport::Channel,
    request: shippy::proto::ListRequest,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    client::list(channel, request).await?;
    Ok(begun.elapsed())
}

fn instructions(plan: &Plan, registers: &[PathBuf], report: &mut Report) -> anyhow::Result<()> {
    if callgrind::version().is_none() {
        report.note("instructions: left out, no callgrind; `apt-get install valgrind`".into());
        return Ok(());
    }
    let mut counts = Vec::new();
    for register in registers {
        eprintln!("counting instructions of a create …");
        counts.push(text::as_f64(callgrind::create(
            || register.clone(),
            plan.counted,
            1,
        )?));
    }
    let target = Some(Target::AtMost(WORK_TARGET));
    row(
        "instructions per create, 1 in flight",
        &counts,
        text::count,
        target,
        report,
    );
    for register in registers {
        register::remove(register)?;
    }
    Ok(())
}
