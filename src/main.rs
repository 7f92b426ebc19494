//! The `shippy` command.

use std::process::ExitCode;

use clap::Parser as _;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shippy::cli::Cli::parse().run()
}
