//! The pages: what they tell to type works and prints what they show, and they name what there is.
//!
//! A block of commands (`console` or `sh`) is run, in the order of its page, in one folder and one shell a page. Before
//! one that cannot be there is a comment, which people do not see: `<!-- run: machines -->` for one on a network,
//! `<!-- run: docker -->`, or `<!-- not run: REASON -->`. A prompt with a name, `depot$ `, is a machine's. Whatever
//! is run or not, each call of shippy has to be one that it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use regex::Regex;

use self::{
    page::{Block, Where, blocks, calls, pages},
    shell::Shell,
};
use crate::{
    image::docker::{docker, image},
    support::{
        folder,
        host::Host,
        namespace::{Bridge, Port},
        own_name, run, shippy,
    },
};

mod messages;
mod page;
mod shell;

/// What the pages call the servers when they call them nothing.
const DEFAULT_NAME: &str = "go.micro.srv.consignment";

/// The files that the pages suppose to be there.
const SAMPLES: [(&str, &str); 2] = [
    ("consignment.json", include_str!("../../consignment.json")),
    (
        "depot.json",
        "[\n  { \"description\": \"Tea\" },\n  {\n    \"description\": \"Cinnamon\",\n    \"containers\": [\n      \
         { \"user_id\": \"user001\",\n        \"customer_id\": \"cust001\", \"orign\": \"Galle\" }\n    ]\n  }\n]\n",
    ),
];

/// How often a page is tried: a machine that stands still for seconds has shippy warn of it.
const TRIES: u32 = 3;

/// Flags of other programs that the pages name: Docker's and the benchmarks'.
const FLAGS_OF_OTHERS: [&str; 9] = [
    "--bench",
    "--cap-drop",
    "--instructions",
    "--markdown",
    "--network",
    "--only",
    "--read-only",
    "--security-opt",
    "--ulimit",
];

/// A machine's folder, with the samples.
fn furnish(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, text) in SAMPLES {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// Runs `attempt`, which says what differs from the page, until nothing does.
#[track_caller]
fn try_page(page: &Path, mut attempt: impl FnMut() -> Result<(), String>) {
    let mut differs = String::new();
    for _ in 0..TRIES {
        match attempt() {
            Ok(()) => return,
            Err(difference) => differs = difference,
        }
    }
    panic!(
        "{} is not true (- it says, + it is): {differs}",
        page.display()
    );
}

/// The blocks of each page that are run `is_run`, without the pages that have none.
fn pages_run(is_run: Where) -> impl Iterator<Item = (std::path::PathBuf, Vec<Block>)> {
    pages().into_iter().filter_map(move |(path, text)| {
        let mut blocks = blocks(&path, &text);
        blocks.retain(|block| block.is_run == is_run);
        (!blocks.is_empty()).then_some((path, blocks))
    })
}

/// Runs `blocks`, each command in the shell of its machine. What differs from the page.
fn run_all(blocks: &[Block], shells: &mut BTreeMap<String, Shell>) -> Result<(), String> {
    for block in blocks {
        for step in &block.steps {
            let shell = shells.get_mut(&step.machine).expect("each machine has one");
            let ran = shell.run(step);
            ran.map_err(|difference| format!("{}: {difference}", block.place))?;
        }
    }
    Ok(())
}

#[test]
fn docs_what_runs_on_one_machine_does_as_the_pages_say() {
    for (page, blocks) in pages_run(Where::Here) {
        try_page(&page, || {
            let home = folder();
            furnish(home.path());
            let mut shell = Shell::start(Command::new("bash"), home.path());
            shell.rename(&own_name(), DEFAULT_NAME);
            run_all(&blocks, &mut BTreeMap::from([(String::new(), shell)]))
        });
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn docs_what_runs_on_machines_of_a_network_does_as_the_pages_say() {
    for (page, blocks) in pages_run(Where::Machines) {
        let steps = blocks.iter().flat_map(|block| &block.steps);
        let names: BTreeSet<_> = steps.map(|step| &*step.machine).collect();
        try_page(&page, || {
            let (bridge, home) = (Bridge::new(), folder());
            let hosts: Vec<_> = names.iter().map(|_| Host::new()).collect();
            let mut ports: Vec<Port<'_>> = Vec::new();
            let mut shells = BTreeMap::new();
            for (number, (name, host)) in names.iter().zip(&hosts).enumerate() {
                let address = format!("192.168.7.{}0/24", number + 1);
                ports.push(bridge.plug(&host.network, "lan", &[&address]));
                let folder = home.path().join(name);
                furnish(&folder);
                let shell = Shell::start(host.network.command("bash"), &folder);
                shells.insert((*name).to_owned(), shell);
            }
            run_all(&blocks, &mut shells)
        });
    }
}

#[test]
#[ignore = "needs docker"]
fn docs_what_runs_in_containers_does_as_the_pages_say() {
    for (page, blocks) in pages_run(Where::Docker) {
        try_page(&page, || {
            let home = folder();
            furnish(home.path());
            fs::write(home.path().join("mine.json"), SAMPLES[0].1).unwrap();
            // The image's user is not this one.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(home.path(), open).unwrap();
            let engine = Engine { own: own_name() };
            let mut shell = Shell::start(Command::new("bash"), home.path());
            shell.say(&engine.stand_in());
            run_all(&blocks, &mut BTreeMap::from([(String::new(), shell)]))
        });
    }
}

/// What a page makes in the Docker engine, under a name that nothing else there has.
struct Engine {
    own: String,
}

impl Engine {
    /// `docker`, with names of this test's own instead of those that the pages have.
    fn stand_in(&self) -> String {
        let (own, image) = (&self.own, image());
        let docker = docker(&[]).get_program().display().to_string();
        format!(
            "docker() {{
                local words=() word
                for word; do
                    case $word in
                        register) word={own} ;;
                        register:*) word={own}:${{word#*:}} ;;
                        depot) word={own} ;;
                        shippy) word={image} ;;
                    esac
                    words+=(\"$word\")
                done
                command {docker} \"${{words[@]}}\"
            }}"
        )
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for args in [["rm", "--force"], ["volume", "rm"], ["network", "rm"]] {
            let _gone = docker(&args).arg(&self.own).output();
        }
    }
}

#[test]
fn docs_each_call_of_shippy_is_one_that_it_takes() {
    let home = folder();
    let mut count = 0;
    for (page, text) in pages() {
        for block in blocks(&page, &text) {
            for step in &block.steps {
                for mut call in calls(&step.command) {
                    // In an image without a command it serves.
                    call.push("--help".into());
                    // What is left out stands for what does not matter.
                    call.retain(|word| !word.contains('…'));
                    let ran = run(shippy(home.path()).args(&call));
                    assert_eq!(
                        ran.code,
                        Some(0),
                        "{}: $ {}: {ran:#?}",
                        block.place,
                        step.command
                    );
                    count += 1;
                }
            }
        }
    }
    assert!(count >= 30, "only {count} calls were found");
}

#[test]
fn docs_each_flag_and_variable_is_one_that_there_is() {
    let home = folder();
    let help = |args: &[&str]| {
        run(shippy(home.path()).args(args).arg("--help"))
            .exits(0)
            .stdout
    };
    let top = help(&[]);
    let (_, commands) = top.split_once("Commands:").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let commands = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let helps: String = commands.map(|command| help(&[command])).collect();
    let word = Regex::new(r"--[a-z][a-z-]+|\b(SHIPPY|MICRO)_[A-Z_]+\b").unwrap();
    let known: BTreeSet<_> = (word.find_iter(&helps).map(|found| found.as_str()))
        .chain(FLAGS_OF_OTHERS)
        .collect();
    for (page, text) in pages() {
        // Of other programs: go-micro, and those that build and test shippy.
        if ["go-micro.md", "DEVELOPERS.md"]
            .iter()
            .any(|name| page.ends_with(name))
        {
            continue;
        }
        let mut is_block = false;
        for (number, line) in text.lines().enumerate() {
            // The calls in a block are tried.
            is_block ^= line.starts_with("```");
            if is_block {
                continue;
            }
            for found in word.find_iter(line).map(|found| found.as_str()) {
                let is_of_tests = ["SHIPPY_TEST_", "SHIPPY_FUZZ_", "SHIPPY_BENCH_"]
                    .iter()
                    .any(|prefix| found.starts_with(prefix));
                assert!(
                    is_of_tests || known.contains(found),
                    "{}:{}: there is no {found}",
                    page.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn docs_go_micro_says_of_each_setting_what_becomes_of_it() {
    let (_, text) = (pages().into_iter())
        .find(|(page, _)| page.ends_with("go-micro.md"))
        .expect("the page");
    let (_, settings) = text.split_once("### Kept").expect("what is kept");
    let (kept, others) = settings
        .split_once("### Under another name")
        .expect("what is not");
    let variable = Regex::new(r"`(MICRO_[A-Z_]+)`").unwrap();
    let first_cells = |text: &str| -> BTreeSet<String> {
        let rows = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        rows.flat_map(|cell| {
            let cell = format!("`{cell}");
            let found = variable
                .captures_iter(&cell)
                .map(|found| found[1].to_owned());
            found.collect::<Vec<_>>()
        })
        .collect()
    };
    let home = folder();
    let warned_of = |variables: BTreeSet<String>| -> BTreeSet<String> {
        let mut list = shippy(home.path());
        list.args(["list", "--server", "127.0.0.1:1", "--timeout", "100ms"]);
        list.envs(variables.iter().map(|variable| (variable, "10")));
        list.env("MICRO_REGISTRY", "mdns");
        let said = run(&mut list).exits(3).stderr;
        let (_, named) = said.split_once("and ignored: ").unwrap_or_default();
        let named = named.lines().next().unwrap_or_default();
        named
            .split(", ")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (kept, others) = (first_cells(kept), first_cells(others));
    assert!(kept.len() == 9 && others.len() > 40, "{kept:?} {others:?}");
    assert_eq!(warned_of(kept), BTreeSet::new());
    assert_eq!(warned_of(others.clone()), others);
}
