//! Machines of the tests' own.

use std::process::Command;

use tempfile::TempDir;

use super::{Ran, Server, executable, folder, namespace::Namespace, run, unconfigured};

/// A machine with nothing on it but shippy: a network namespace and a home folder.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) network: Namespace,
    pub(crate) home: TempDir,
}

impl Host {
    /// A machine whose loopback interface is up, and no other.
    pub(crate) fn new() -> Self {
        Self::on(Namespace::with_loopback())
    }

    /// A machine with the network that `network` has.
    pub(crate) fn on(network: Namespace) -> Self {
        let home = folder();
        Self { network, home }
    }

    /// `shippy` with `args`, to be run here.
    pub(crate) fn shippy(&self, args: &[&str]) -> Command {
        let mut command = self.network.command(executable());
        unconfigured(&mut command, self.home.path());
        command.args(args);
        command
    }

    /// Runs `shippy` with `args` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.shippy(args))
    }

    /// Runs `shippy serve` with `args`; it is ready.
    pub(crate) fn serve(&self, args: &[&str]) -> Server {
        Server::spawn(self.shippy(&[&["serve"], args].concat()), self.home.path())
    }
}
