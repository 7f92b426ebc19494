//! What a server says of each request in its log, and what its store says of the same request.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{Server, answer, eventually, folder};

mod errors;
mod requests;
mod store;

/// Has requests and the store logged, one JSON object a line.
fn in_json(command: &mut Command) {
    let levels = "info,shippy::requests=debug,shippy::store=debug";
    command.args(["--log-format", "json", "--log-level", levels]);
}

/// What `log` holds, of which each line has to be an object.
fn objects(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(parse).collect()
}

/// Those of them that say `message`: their fields.
fn saying(server: &Server, message: &str) -> Vec<Value> {
    let fields =
        (objects(&whole_lines(&server.log)).into_iter()).map(|mut line| line["fields"].take());
    fields
        .filter(|fields| fields["message"] == message)
        .collect()
}

/// The fields of the one request that `is_it`, once that is over.
fn request(server: &Server, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually("the request is logged", || {
        let mut all = saying(server, "request");
        all.retain(&is_it);
        assert!(all.len() < 2, "{all:#?}");
        all.pop()
    })
}

/// The log without a line that is being written.
fn whole_lines(log: &Path) -> String {
    let mut text = std::fs::read_to_string(log).unwrap();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}
