//! The `shippy` command.

use std::process::ExitCode;

mod allocator;

fn main() -> ExitCode {
    shippy::cli::Cli::read().run()
}
