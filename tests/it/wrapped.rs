//! shippy run by another program that changes its world.

use std::process::{Command, Stdio};

/// `command`, run by the program and with the arguments of `by`.
pub(crate) fn wrapped(by: &[&str], command: &Command) -> Command {
    let [program, arguments @ ..] = by else {
        panic!("no program to run {command:?} by")
    };
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program());
    outer.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
