//! `shippy token`, and how clients take what it makes.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{list, serve, token, token_ran};
use crate::{
    cli::file,
    running::run_to_end,
    support::{folder, run, shippy},
};

#[test]
fn a_token_is_printed_once_with_its_line_which_does_not_hold_it() {
    let home = folder();
    let ran = token_ran(home.path(), &["crane", "--scope", "write"]);
    let [token, line] = ran.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{ran:#?}");
    };
    assert!(token.starts_with("shippy_") && token.len() > 60, "{token}");
    assert!(line.starts_with("crane write ") && !line.contains(token));
    assert!(!ran.stderr.contains(token), "{ran:#?}");
    let again = token_ran(home.path(), &["crane", "--scope", "write"]);
    assert_ne!(ran.stdout, again.stdout);
}

#[test]
fn a_token_that_is_written_to_a_file_is_not_printed() {
    let home = folder();
    let path = home.path().join("crane.token");
    let shown = path.display().to_string();
    let args = ["crane", "--scope", "read", "--token-file", &shown];
    let ran = token_ran(home.path(), &args);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = fs::read_to_string(&path).unwrap();
    assert!(!ran.stdout.contains(secret.trim()), "{ran:#?}");
    let tokens = file(home.path(), "tokens", ran.stdout);
    let server = serve(home.path(), &["--tokens", &tokens]);
    run(&mut list(&server, home.path(), &["--token-file", &shown])).exits(0);
    // A file that is there is somebody's token.
    run(shippy(home.path()).arg("token").args(args))
        .exits(2)
        .says(&["is there already"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn a_file_counts_before_the_environment() {
    let home = folder();
    let (secret, line) = token(home.path(), "crane", "read");
    let tokens = file(home.path(), "tokens", line);
    let path = file(home.path(), "crane.token", format!("{secret}\n"));
    let server = serve(home.path(), &["--tokens", &tokens]);
    let mut command = list(&server, home.path(), &["--token-file", &path]);
    run(command.env("SHIPPY_TOKEN", "shippy_wrong")).exits(0);
    let mut command = list(&server, home.path(), &[]);
    run(command.env("SHIPPY_TOKEN_FILE", &path)).exits(0);
}

#[test]
fn what_is_no_token_is_told_and_not_repeated() {
    let home = folder();
    let nowhere = home.path().join("nowhere").display().to_string();
    let two = file(home.path(), "two", "shippy_secret\ncrane read 00\n");
    let empty = file(home.path(), "empty", "\n");
    let list = |args: &[&str]| {
        let mut command = shippy(home.path());
        command.args(["list", "--server", "127.0.0.1:1"]).args(args);
        command
    };
    for (path, said) in [
        (&nowhere, "No such file"),
        (&two, "does not hold a token"),
        (&empty, "does not hold a token"),
    ] {
        let ran = run_to_end(&mut list(&["--token-file", path])).exits(2);
        let ran = ran.says(&[path, said]);
        assert!(!ran.stderr.contains("secret"), "{ran:#?}");
    }
    let ran = run_to_end(list(&[]).env("SHIPPY_TOKEN", "a secret")).exits(2);
    let ran = ran.says(&["SHIPPY_TOKEN does not hold a token"]);
    assert!(!ran.stderr.contains("a secret"), "{ran:#?}");
    // Every process can read what is typed.
    run_to_end(&mut list(&["--token", "x"])).exits(2);
}

#[test]
fn a_name_or_a_scope_that_is_none_is_told() {
    let home = folder();
    for (args, said) in [
        (&["crane"][..], "--scope"),
        (&["crane", "--scope", "admin"], "read, write"),
        (&["a b", "--scope", "read"], "without spaces"),
        (&["#a", "--scope", "read"], "begin with #"),
        (&["--scope", "read"], "<NAME>"),
    ] {
        let ran = run_to_end(shippy(home.path()).arg("token").args(args)).exits(2);
        assert_eq!(ran.says(&[said]).stdout, "");
    }
}
