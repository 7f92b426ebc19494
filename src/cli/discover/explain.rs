//! Finds out why servers are not found.

use std::{
    collections::BTreeSet,
    io::Write as _,
    iter,
    net::{Ipv4Addr, SocketAddr},
    process,
    time::Duration,
};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use super::{
    Shape,
    cause::{self, Facts, Network},
    conclusion, exit, json, report,
};
use crate::{
    backend,
    causes::chain,
    cli::Exit,
    client::{
        Options,
        probe::Answer,
        survey::{Survey, Surveyed, Surveyee},
    },
    machine::{
        container, firewall,
        links::{self, Link},
        sockets::{self, Holder},
    },
    registry::{
        dns,
        mdns::{self, diagnosis},
    },
};

/// What a server's process is called.
const SERVER: &str = "shippy";
/// How many places are asked in which a server may be, though none was found.
const PLACES_MAX: usize = 16;

/// Looks, asks, and says what comes of it. `is_multicast`: whether it is multicast DNS that servers are looked for by.
pub(super) async fn run(survey: &Survey, is_multicast: bool, shape: Shape) -> anyhow::Result<Exit> {
    let (surveyed, network) = if is_multicast {
        let (surveyed, network) = tokio::join!(survey.run(), look_around(survey.time));
        (surveyed, Some(network?))
    } else {
        (survey.run().await, None)
    };
    let exit = exit(&surveyed);
    let Surveyed { servers, error, .. } = surveyed;
    let mut facts = Facts {
        name: survey.options.name.clone(),
        servers,
        error: error.map(|error| chain(&error)),
        network,
        elsewhere: Vec::new(),
    };
    if let Some(network) = &facts.network {
        facts.elsewhere = elsewhere(&facts, network, &survey.options).await;
    }
    let asked = survey.registry.describe();
    let cause = cause::cause(&facts);
    let conclusion = conclusion::conclude(&facts, &cause);
    let report = || report::Report::new(&facts, &asked, &cause, &conclusion);
    let text = match shape {
        Shape::Table => report::text(&facts, &asked, survey.time, &conclusion),
        Shape::Json => json::indented(&report()) + "\n",
        Shape::Ndjson => json::line(&report()) + "\n",
    };
    let mut out = std::io::stdout();
    (out.write_all(text.as_bytes()).and_then(|()| out.flush())).context("could not print")?;
    Ok(exit)
}

/// How this machine and its network are, multicast DNS being tried for `time`.
async fn look_around(time: Duration) -> anyhow::Result<Network> {
    let machine = spawn_blocking(|| {
        let mut holders = sockets::udp(mdns::PORT);
        let is_ours = |holder: &Holder| {
            let process = holder.process.as_ref();
            process.is_some_and(|process| process.pid == process::id())
        };
        holders.retain(|holder| !is_ours(holder));
        (
            links::links(),
            holders,
            sockets::listeners(),
            container::container(),
        )
    });
    let (machine, diagnosis, rules) = tokio::join!(
        machine,
        diagnosis::diagnose(mdns::PORT, time),
        firewall::rules()
    );
    let (links, holders, listeners, container) = machine?;
    Ok(Network {
        links,
        diagnosis,
        holders,
        listeners,
        container,
        rules,
    })
}

/// Where a server answers that was not found. It is asked in the places where one may well be: where a process of
/// shippy's name takes connections, and on the port that the image has, here and at the gateway, which is the host to a
/// container on it.
async fn elsewhere(facts: &Facts, network: &Network, options: &Options) -> Vec<String> {
    let is_found = |server: &Surveyee| server.instance.name == facts.name && server.is_reached();
    if facts.servers.iter().any(is_found) {
        return Vec::new();
    }
    let survey = Survey {
        registry: backend::fixed(places(network)),
        options: Options {
            // Nobody has named them, so they are shown none.
            token: None,
            register: None,
            ..options.clone()
        },
        of_all_names: false,
        time: options.timeout,
    };
    let mut servers = survey.run().await.servers;
    // What answers health checks alone is the second choice.
    servers.sort_by_key(|server| server.probed.size.is_err());
    let answering = servers.into_iter().filter_map(|server| {
        let place = server.best()?;
        matches!(place.answer, Answer::Server { .. }).then(|| place.address.clone())
    });
    answering.collect()
}

fn places(network: &Network) -> Vec<String> {
    let is_server = |holder: &&Holder| {
        let process = holder.process.as_ref();
        process.is_some_and(|process| process.name == SERVER)
    };
    let here = |holder: &Holder| match holder.address {
        address if address.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        address => address,
    };
    let servers = network.listeners.iter().filter(is_server).map(here);
    let gateways = network.links.iter().filter_map(|link: &Link| link.gateway);
    let hosts = iter::once(Ipv4Addr::LOCALHOST).chain(gateways);
    let usual = hosts.map(|host| (host, dns::PORT).into());
    let places: BTreeSet<SocketAddr> = servers.chain(usual).collect();
    let places = places.into_iter().take(PLACES_MAX);
    places.map(|place| place.to_string()).collect()
}
