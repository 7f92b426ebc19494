//! The command line, as its users meet it: what it prints, what it stores and how it ends.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Ran, Server, eventually, run, shippy};

mod bad_input;
mod exits;
mod formats;
mod help;
mod hostile;
mod settings;
mod several;

/// A server of the service `name`, its register in `folder`.
fn serve(folder: &Path, name: &str) -> Server {
    let mut command = shippy(folder);
    let store = format!("sqlite:{}", folder.join("register.db").display());
    command.args(["serve", "--name", name, "--store", &store]);
    Server::spawn(command, folder)
}

/// Writes `contents` to a file in `folder`; its path.
fn file(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The ids of all that the server has.
fn stored(server: &Server, home: &Path) -> Vec<String> {
    let listed = run(&mut server.ask(home, &["list", "-o", "ndjson"])).exits(0);
    let id = |line: &str| {
        let consignment: serde_json::Value = serde_json::from_str(line).unwrap();
        consignment["id"].as_str().unwrap().to_owned()
    };
    listed.stdout.lines().map(id).collect()
}

/// A command under way. It is killed when it goes out of scope.
struct Running {
    text: String,
    child: Child,
}

impl Running {
    /// Starts `command`, its three streams being pipes.
    fn start(command: &mut Command) -> Self {
        let text = format!("{command:?}");
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        Self { text, child }
    }

    /// Sends `signal` once the command handles it by itself.
    fn signal(&self, signal: Signal) {
        let status = format!("/proc/{}/status", self.child.id());
        eventually("a handler of the signal", || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
            (caught & (1 << (signal.as_raw() - 1)) != 0).then_some(())
        });
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended. What it prints must fit into a pipe.
    fn end(mut self) -> Ran {
        eventually("the command's end", || self.child.try_wait().unwrap());
        let output = std::process::Output {
            status: self.child.wait().unwrap(),
            stdout: rest(self.child.stdout.take()),
            stderr: rest(self.child.stderr.take()),
        };
        Ran::new(std::mem::take(&mut self.text), output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left in a stream; nothing where it was taken or closed.
fn rest(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).unwrap();
    }
    bytes
}
