//! A network of our own, where nobody else's multicast DNS is heard and none of ours goes out.

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

/// Set where the process has moved already.
const MOVED: &str = "SHIPPY_BENCH_MOVED";

/// Starts this program again in a network namespace that has loopback alone, where the machine allows that; whether
/// it runs in one.
pub(crate) fn move_into_one_of_our_own() -> bool {
    if env::var_os(MOVED).is_some() {
        return true;
    }
    let possible = isolated("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if possible.is_ok_and(|status| status.success()) {
        let error = isolated(r#"exec "$0" "$@""#)
            .args(env::args_os())
            .env(MOVED, "")
            .exec();
        eprintln!("could not start again in a network namespace: {error}");
    }
    false
}

/// Runs `script` in a new network namespace whose loopback interface is up.
fn isolated(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c"]);
    command.arg(format!("ip link set lo up && {script}"));
    command
}
