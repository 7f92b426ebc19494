//! The command line, as its users meet it: what it prints, what it stores and how it ends.

use std::path::Path;

use crate::support::{Server, run, shippy};

mod advertise;
mod bad_input;
pub(crate) mod create;
mod exits;
mod follow;
mod formats;
mod help;
mod hostile;
mod patience;
mod settings;
pub(crate) mod several;

/// A server of the service `name`, its register in `folder`.
pub(crate) fn serve(folder: &Path, name: &str) -> Server {
    serve_with(folder, name, &[])
}

/// The same with further arguments.
pub(crate) fn serve_with(folder: &Path, name: &str, args: &[&str]) -> Server {
    let mut command = shippy(folder);
    let store = format!("sqlite:{}", folder.join("register.db").display());
    command.args(["serve", "--name", name, "--store", &store]);
    command.args(args);
    Server::spawn(command, folder)
}

/// Writes `contents` to a file in `folder`; its path.
pub(crate) fn file(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The ids of all that the server has.
pub(crate) fn stored(server: &Server, home: &Path) -> Vec<String> {
    let listed = run(&mut server.ask(home, &["list", "-o", "ndjson"])).exits(0);
    let id = |line: &str| {
        let consignment: serde_json::Value = serde_json::from_str(line).unwrap();
        consignment["id"].as_str().unwrap().to_owned()
    };
    listed.stdout.lines().map(id).collect()
}
