//! `shippy discover`: what is there, how it is, and what changes.

use std::{path::Path, process::Command, sync::mpsc, thread};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    cli::{file, serve, serve_with},
    running::Running,
    support::{Ran, SOON, Server, eventually, folder, free_address, own_name, run, shippy},
};

mod etcd;
mod explained;

/// What every server has in JSON, whatever is known of it.
const FIELDS: [&str; 12] = [
    "addresses",
    "consignments",
    "consignments_reason",
    "health",
    "id",
    "kind",
    "name",
    "reached",
    "register",
    "round_trip_ms",
    "tls",
    "version",
];

/// `shippy discover` with `args`.
fn discover(home: &Path, args: &[&str]) -> Command {
    let mut command = shippy(home);
    command.arg("discover").args(args);
    command
}

/// The servers in what was printed as JSON, by what `name` they have.
fn named<'j>(servers: &'j Value, name: &str) -> Vec<&'j Value> {
    let servers = servers.as_array().unwrap().iter();
    servers.filter(|server| server["name"] == name).collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:#?}"))
}

/// The server called `name`, once `shippy discover` with `args` finds it: an answer may be late on a busy machine.
#[track_caller]
fn found(home: &Path, name: &str, args: &[&str]) -> Value {
    eventually("found", || {
        let ran = run(&mut discover(home, &[&["-o", "json"], args].concat()));
        named(&json(&ran), name)
            .first()
            .map(|&server| server.clone())
    })
}

/// Folders of their own for several servers.
fn folders<const N: usize>(home: &Path) -> [std::path::PathBuf; N] {
    std::array::from_fn(|number| {
        let folder = home.join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    })
}

#[test]
fn servers_of_every_name_are_found_and_with_a_name_those_of_that_alone() {
    let home = folder();
    let names = [own_name(), own_name()];
    let [one, two] = folders(home.path());
    let servers = [serve(&one, &names[0]), serve(&two, &names[1])];
    let all = eventually("both", || {
        let ran = run(&mut discover(home.path(), &["-o", "json"]));
        let all = json(&ran);
        let both = names.iter().all(|name| named(&all, name).len() == 1);
        both.then_some(all)
    });
    for (server, name) in servers.iter().zip(&names) {
        let found = named(&all, name)[0];
        assert_eq!(found["register"], *server.register, "{found}");
        assert_eq!(found["addresses"][0]["address"], server.address.to_string());
        assert_eq!(found["version"], env!("CARGO_PKG_VERSION"), "{found}");
        assert_eq!(
            (&found["kind"], &found["tls"]),
            (&"single".into(), &false.into())
        );
    }
    for filter in [true, false] {
        let args = if filter {
            &["--name", &*names[0]][..]
        } else {
            &[]
        };
        let mut command = discover(home.path(), &[&["-o", "ndjson"], args].concat());
        if !filter {
            command.env("MICRO_SERVER_NAME", &names[0]);
        }
        let lines = eventually("found by its name", || {
            let ran = run(&mut command);
            (ran.code == Some(0)).then_some(ran.stdout)
        });
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["name"], *names[0]);
    }
}

/// The names of what `server` has, in order.
fn fields(server: &Value) -> Vec<&str> {
    let object = server.as_object().unwrap();
    let mut fields: Vec<_> = object.keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn json_has_all_fields_and_says_how_large_and_how_well_a_server_is() {
    let home = folder();
    let name = own_name();
    let server = serve(home.path(), &name);
    for _ in 0..3 {
        run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
    }
    let found = eventually("asked in time", || {
        Some(found(home.path(), &name, &["--name", &name]))
            .filter(|found| found["consignments"] == 3)
    });
    assert_eq!(fields(&found), FIELDS);
    assert_eq!(
        (&found["reached"], &found["health"]),
        (&true.into(), &"SERVING".into())
    );
    assert!(found["round_trip_ms"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!(found["consignments_reason"], Value::Null);
    let place = &found["addresses"][0];
    assert_eq!(place["health"], "SERVING", "{found}");
    assert_eq!(place["reason"], Value::Null, "{found}");
    // Somebody who is named only: what nobody announces is not known, and what can be asked is.
    let address = server.address.to_string();
    let ran = run(&mut discover(
        home.path(),
        &["-o", "json", "--server", &address],
    ))
    .exits(0);
    let named = &json(&ran)[0];
    assert_eq!(fields(named), FIELDS);
    assert_eq!(
        (&named["name"], &named["tls"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(named["register"], *server.register, "{named}");
}

#[test]
fn the_table_names_a_register_by_what_picks_it() {
    let home = folder();
    let name = own_name();
    let [one, two] = folders(home.path());
    let servers = [serve(&one, &name), serve(&two, &name)];
    let table = eventually("both", || {
        let ran = run(&mut discover(home.path(), &["--name", &name]));
        (ran.stdout.matches("SERVING").count() == 2).then_some(ran.stdout)
    });
    assert!(table.starts_with("NAME"), "{table}");
    for server in &servers {
        let address = server.address.to_string();
        let line = table.lines().find(|line| line.contains(&address)).unwrap();
        let prefix = line.split_whitespace().nth(3).unwrap();
        assert!(
            server.register.starts_with(prefix) && prefix.len() >= 8,
            "{line}"
        );
        let others = servers
            .iter()
            .filter(|other| other.register.starts_with(prefix));
        assert_eq!(others.count(), 1, "{table}");
        let args = ["health", "--name", &name, "--register", prefix];
        let health = run(shippy(home.path()).args(args)).exits(0);
        assert!(health.stdout.contains(&address), "{health:#?}");
    }
}

#[test]
fn a_server_that_speaks_tls_is_reached_and_asked_by_those_who_know_it() {
    let home = folder();
    let certs = home.path().join("certs");
    run(shippy(home.path()).arg("certs").arg(&certs)).exits(0);
    let path = |name: &str| certs.join(name).to_str().unwrap().to_owned();
    let (certificate, key, authority) = (path("server.pem"), path("server.key"), path("ca.pem"));
    let name = own_name();
    let args = ["--tls-cert", &*certificate, "--tls-key", &*key];
    let _server = serve_with(home.path(), &name, &args);
    let strange = found(home.path(), &name, &["--name", &name]);
    assert_eq!(
        (&strange["tls"], &strange["reached"]),
        (&true.into(), &true.into())
    );
    assert_eq!(strange["health"], Value::Null);
    let reason = strange["addresses"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("--tls-ca"), "{strange}");
    let known = found(
        home.path(),
        &name,
        &["--name", &name, "--tls-ca", &authority],
    );
    assert_eq!(
        (&known["health"], &known["consignments"]),
        (&"SERVING".into(), &0.into())
    );
}

#[test]
fn where_one_may_not_read_the_size_is_not_known_and_a_token_goes_nowhere_it_could_be_read() {
    let home = folder();
    let made = run(shippy(home.path()).args(["token", "ann", "--scope", "read"])).exits(0);
    let (token, line) = made.stdout.split_once('\n').unwrap();
    let tokens = file(home.path(), "tokens", line);
    let name = own_name();
    let server = serve_with(home.path(), &name, &["--tokens", &tokens]);
    for token in [None, Some(token)] {
        let mut command = discover(home.path(), &["--name", &name, "-o", "json"]);
        if let Some(token) = token {
            command.env("SHIPPY_TOKEN", token);
        }
        let found = eventually("found", || {
            let found = json(&run(&mut command))[0].clone();
            (found["health"] == "SERVING").then_some(found)
        });
        assert_eq!(found["consignments"], Value::Null, "{found}");
        let reason = found["consignments_reason"].as_str().unwrap();
        let expected = if token.is_some() {
            "was not sent"
        } else {
            "token"
        };
        assert!(reason.contains(expected), "{found}");
    }
    // To a server of this machine that was named it may go.
    let mut command = discover(home.path(), &["-o", "json"]);
    command
        .args(["--server", &server.address.to_string()])
        .env("SHIPPY_TOKEN", token);
    let found = json(&run(&mut command).exits(0));
    assert_eq!(found[0]["consignments"], 0, "{found}");
}

#[test]
fn each_address_that_is_not_reached_is_told_and_a_killed_server_is_not_found() {
    let home = folder();
    let name = own_name();
    let (here, nowhere) = (free_address(), free_address());
    let both = format!("{here},{nowhere}");
    let server = serve_with(
        home.path(),
        &name,
        &["--address", &here, "--advertise", &both],
    );
    let ran = eventually("found", || {
        let ran = run(&mut discover(home.path(), &["--name", &name]));
        (ran.code == Some(0)).then_some(ran)
    });
    let ran = ran.says(&[&format!("{nowhere} is not reached"), "refused"]);
    assert!(ran.stdout.contains("SERVING"), "{ran:#?}");
    assert!(!ran.stderr.contains(&format!("{here} is not")), "{ran:#?}");
    server.kill();
    let ran = run(&mut discover(
        home.path(),
        &["--name", &name, "--for", "1s"],
    ))
    .exits(3);
    ran.says(&["no server found", &name]);
    let _server = serve_with(
        home.path(),
        &name,
        &["--address", &here, "--advertise", &nowhere],
    );
    eventually("found and not reached", || {
        let ran = run(&mut discover(home.path(), &["--name", &name])).exits(3);
        ran.stdout.contains("UNREACHED").then_some(())
    });
}

/// What `shippy discover --watch` prints, line by line.
fn watch(home: &Path, args: &[&str]) -> (Running, mpsc::Receiver<String>) {
    let mut running = Running::start(&mut discover(home, &[&["--watch"], args].concat()));
    let stdout = running.child.stdout.take().unwrap();
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        use std::io::{BufRead as _, BufReader};
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    (running, lines)
}

#[test]
fn a_watch_tells_what_changes_until_it_is_interrupted() {
    let home = folder();
    let name = own_name();
    let args = ["--name", &*name, "-o", "json", "--for", "1s"];
    let (running, lines) = watch(home.path(), &args);
    let until = |event: &str, server: &Server| loop {
        let line = lines
            .recv_timeout(SOON)
            .unwrap_or_else(|_| panic!("no {event}"));
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["server"]["register"], *server.register, "{line}");
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        // On a busy machine one that is there may be missed for a while.
        if line["event"] == event {
            return line;
        }
    };
    let server = serve(home.path(), &name);
    let appeared = until("appeared", &server);
    server.signal(Signal::STOP);
    until("gone", &server);
    server.signal(Signal::CONT);
    let again = until("appeared", &server);
    assert_eq!(again["server"]["id"], appeared["server"]["id"]);
    server.signal(Signal::TERM);
    let last = until("gone", &server);
    assert_eq!(last["server"]["id"], appeared["server"]["id"]);
    running.signal(Signal::INT);
    running.end().exits(0);
}

#[test]
fn what_is_announced_and_not_reached_is_told_when_it_is_back() {
    let home = folder();
    let name = own_name();
    let nowhere = free_address();
    let args = ["--advertise", &*nowhere];
    let _server = serve_with(home.path(), &name, &args);
    let (running, lines) = watch(home.path(), &["--name", &name, "--for", "1s"]);
    let until = |word: &str| loop {
        let line = lines
            .recv_timeout(SOON)
            .unwrap_or_else(|_| panic!("no {word}"));
        assert!(line.contains(&nowhere), "{line}");
        if line.split_whitespace().nth(1) == Some(word) {
            return;
        }
    };
    until("appeared,");
    // Whoever it is: that somebody takes connections there.
    let listener = std::net::TcpListener::bind(&nowhere).unwrap();
    until("back");
    drop(listener);
    until("unreachable");
    running.signal(Signal::INT);
    running.end().exits(0);
}
