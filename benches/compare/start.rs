//! From the start of a process to its first answer.

use std::{path::PathBuf, time::Duration};

use crate::{
    Subject, bulk,
    load::median,
    plan::Plan,
    register,
    report::{Report, TARGETED},
    server::Server,
    text,
};

/// How much longer a start on the largest register may take than on the smallest: what the noise is.
const GROWTH_TARGET: f64 = 1.25;

pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    report.section("Start", &TARGETED);
    let registers: anyhow::Result<Vec<PathBuf>> = plan
        .sizes
        .iter()
        .map(|size| register::of(subject, *size))
        .collect();
    let registers = registers?;
    let mut times = vec![Vec::new(); registers.len()];
    for _ in 0..plan.starts {
        for (register, times) in registers.iter().zip(&mut times) {
            let (server, answered) = Server::start(subject, register)?;
            times.push(answered);
            server.stop()?;
        }
    }
    let medians: Vec<Duration> = times.into_iter().map(median).collect();
    for (size, time) in plan.sizes.iter().zip(&medians) {
        let size = text::count(text::as_f64(*size));
        report.figure(&format!("start to first rpc, {size}"), text::time(*time));
    }
    let growth = medians[medians.len() - 1].as_secs_f64() / medians[0].as_secs_f64();
    report.target(
        "largest / smallest",
        format!("{growth:.2}"),
        format!("<= {GROWTH_TARGET}"),
        growth <= GROWTH_TARGET,
    );
    cold_lists(subject, plan, report)
}

/// Whole commands, each the first that a server hears: the process, the search and the list.
fn cold_lists(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let register = subject.folder.path().join("young.db");
    let (mut found, mut addressed) = (Vec::new(), Vec::new());
    for _ in 0..plan.starts {
        let (server, _) = Server::start(subject, &register)?;
        found.push(list(subject, ["--name", &server.name])?);
        server.stop()?;
        let (server, _) = Server::start(subject, &register)?;
        addressed.push(list(subject, ["--server", &server.address])?);
        server.stop()?;
    }
    let figure = |times: &[Duration]| {
        let most = times.iter().max().copied().unwrap_or_default();
        let middle = median(times.iter().copied());
        format!("{}, {}", text::time(middle), text::time(most))
    };
    report.figure("cold shippy list, found by name, p50, max", figure(&found));
    report.figure("cold shippy list, --server, p50, max", figure(&addressed));
    Ok(())
}

fn list(subject: &Subject, place: [&str; 2]) -> anyhow::Result<Duration> {
    let mut command = subject.command();
    Ok(bulk::run(command.arg("list").args(place))?.time)
}
