//! Going through all of a register: how far that has come, and what is said of one that is sound.

use std::{io::Write as _, sync::Arc};

use anyhow::Context as _;

use super::{figures::grouped, interrupt::Interrupts, progress::Progress, watch::Watch};
use crate::{
    backend::{Gauge, IndexState, Report},
    consignment,
    formats::write::rfc3339,
};

/// What shows progress and hears signals, and the gauge that it looks at.
pub(super) fn watched(name: String, quiet: bool) -> anyhow::Result<(Watch, Gauge)> {
    let mut watch = Watch::new(Progress::new(name, quiet), Interrupts::new()?);
    // It ends soon, and clears up.
    watch.is_under_way = true;
    let gauge = Gauge {
        done: Arc::clone(&watch.progress.done),
        stop: Arc::clone(&watch.stop),
    };
    Ok((watch, gauge))
}

/// Prints what a sound register holds.
pub(super) fn print_sound(report: &Report) -> anyhow::Result<()> {
    let path = report.path.display();
    let records = match (report.records, report.times) {
        (1, Some((time, _))) => format!("1 consignment of {}", text(time)),
        (count, Some((first, last))) => {
            let (first, last) = (text(first), text(last));
            format!(
                "{0} consignments, 1 to {0}, of {first} to {last}",
                grouped(count)
            )
        }
        (_, None) => "no consignments".into(),
    };
    let index = match report.index {
        IndexState::Absent => String::new(),
        IndexState::Foreign => {
            "; the filter index is of another state and will be made anew".into()
        }
        IndexState::Through(through) => {
            format!("; the filter index agrees up to {}", grouped(through))
        }
    };
    let register = &report.register;
    let line = format!("{path} is sound: {records}, register {register}{index}");
    writeln!(std::io::stdout(), "{line}").context("could not print")
}

fn text(micros: i64) -> String {
    rfc3339(consignment::timestamp(micros))
}
