//! A register in PostgreSQL: one server on it, and three, beside a client that commits a row at a time in the same
//! database.

use crate::{
    Subject, client,
    creates::{ratios, row, run},
    load::{Sample, Span},
    peers::{POSTGRES, POSTGRES_REGISTER, Postgres},
    plan::Plan,
    record::Ids,
    report::{Report, TARGETED},
    server::Server,
    system::System,
};

/// How many calls are in flight, and how many connections the other client has.
const IN_FLIGHT: usize = 64;
/// One server's rate as a multiple of the row-a-commit client's.
const ROWS_TARGET: f64 = 3.0;
/// Three servers' rate as a multiple of one's.
const THREE_TARGET: f64 = 1.0;

/// Servers of one register in the database.
struct Shared {
    name: &'static str,
    servers: Vec<Server>,
}

impl Shared {
    fn start(
        subject: &Subject,
        url: &str,
        name: &'static str,
        count: usize,
    ) -> anyhow::Result<Self> {
        let register = format!("compare.{}", uuid::Uuid::now_v7());
        let server = |_| Ok(Server::start_as(subject, url, register.clone())?.0);
        let servers: anyhow::Result<_> = (0..count).map(server).collect();
        Ok(Self {
            name,
            servers: servers?,
        })
    }
}

impl System for Shared {
    fn name(&self) -> &'static str {
        self.name
    }

    fn creates(&mut self, in_flight: usize, span: Span) -> anyhow::Result<Sample> {
        let addresses: Vec<_> = self
            .servers
            .iter()
            .map(|one| one.address.as_str())
            .collect();
        Ok(client::creates_over(&addresses, in_flight, span, Ids::Time)?.0)
    }
}

pub(crate) fn measure(subject: &Subject, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let headings = ["", "in flight", "rate", "p50", "p99"];
    report.section("Durable creates in PostgreSQL", &headings);
    let mut rows = match Postgres::start(subject.folder.path()) {
        Ok(rows) => rows,
        Err(error) => {
            report.note(format!(
                "left out ({error:#}); `apt-get install postgresql`"
            ));
            return Ok(());
        }
    };
    let url = rows.url();
    let mut one = Shared::start(subject, &url, "one server", 1)?;
    let mut three = Shared::start(subject, &url, "three servers", 3)?;
    let mut register = rows.register()?;
    let mut by_register = Vec::new();
    let (mut by_rows, mut by_one, mut by_three) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.pairs {
        by_rows.push(run(&mut rows, IN_FLIGHT, plan.span)?);
        by_register.push(run(&mut register, IN_FLIGHT, plan.span)?);
        by_one.push(run(&mut one, IN_FLIGHT, plan.span)?);
        by_three.push(run(&mut three, IN_FLIGHT, plan.span)?);
    }
    for (name, samples) in [
        (POSTGRES, &by_rows),
        (POSTGRES_REGISTER, &by_register),
        (one.name, &by_one),
        (three.name, &by_three),
    ] {
        for sample in samples {
            row(name, IN_FLIGHT, sample, report);
        }
    }
    let title = "Creates in PostgreSQL: ratios, medians of interleaved rounds";
    report.section(title, &TARGETED);
    let targets = [
        (
            "one server / a row a commit, rate",
            &by_one,
            &by_rows,
            ROWS_TARGET,
        ),
        (
            "one server / a row a commit, gapless and indexed",
            &by_one,
            &by_register,
            ROWS_TARGET,
        ),
        (
            "three servers / one server, rate",
            &by_three,
            &by_one,
            THREE_TARGET,
        ),
    ];
    for (name, above, below, target) in targets {
        let (ratio, text) = ratios(above, below);
        report.target(name, text, format!(">= {target}"), ratio >= target);
    }
    for server in one.servers.into_iter().chain(three.servers) {
        server.stop()?;
    }
    Ok(())
}
