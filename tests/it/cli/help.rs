//! What newcomers read, and what they are told of their mistakes.

use std::{fs, process::Command};

use crate::{
    running::run_to_end,
    support::{folder, run, shippy},
};

const COMMANDS: [&str; 11] = [
    "serve",
    "create",
    "list",
    "discover",
    "health",
    "token",
    "certs",
    "backup",
    "verify",
    "completions",
    "man",
];

#[test]
fn help_of_every_command_is_data_and_names_the_exit_codes() {
    let home = folder();
    let mut calls = vec![vec!["--help"], vec!["-h"]];
    for command in COMMANDS {
        calls.extend([vec![command, "--help"], vec![command, "-h"]]);
    }
    for args in calls {
        let ran = run(shippy(home.path()).args(&args)).exits(0);
        assert_eq!(ran.stderr, "", "{args:?}");
        for text in [
            "Usage: shippy",
            "Exit codes:",
            "several registers",
            "--log-level",
        ] {
            assert!(ran.stdout.contains(text), "no {text:?} in {ran:#?}");
        }
    }
}

#[test]
fn help_names_the_commands_and_the_settings_but_not_their_values() {
    let home = folder();
    let ran = run(shippy(home.path()).arg("--help")).exits(0);
    for command in COMMANDS {
        assert!(ran.stdout.contains(command), "{ran:#?}");
    }
    let mut command = shippy(home.path());
    command
        .env("SHIPPY_STORE", "sqlite:/hidden")
        .args(["serve", "--help"]);
    let ran = run(&mut command).exits(0);
    for text in [
        "--lan",
        "[env: MICRO_SERVER_ADDRESS]",
        "[env: SHIPPY_STORE]",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?} in {ran:#?}");
    }
    assert!(!ran.stdout.contains("/hidden"), "{ran:#?}");
}

#[test]
fn the_version_is_printed() {
    let home = folder();
    for flag in ["--version", "-V"] {
        let ran = run(shippy(home.path()).arg(flag)).exits(0);
        let version = concat!("shippy ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!((&*ran.stdout, &*ran.stderr), (version, ""));
    }
}

#[test]
fn wrong_usage_is_told_on_standard_error_and_ends_with_2() {
    let home = folder();
    for (args, said) in [
        (&[][..], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["create"], "<FILE>"),
        (&["create", "a", "b"], "'b'"),
        (&["list", "extra"], "extra"),
        (&["list", "--limit", "0"], "--limit"),
        (&["list", "--limit", "-1"], "-1"),
        (&["list", "-o", "xml"], "ndjson"),
        (&["list", "--id", "a b"], "only A-Z"),
        (&["list", "--id", ""], "--id"),
        (&["list", "--after", "x"], "--after"),
        (&["list", "--timeout", "soon"], "500ms, 30s or"),
        (&["list", "--server", "depot"], "HOST:PORT"),
        (&["list", "--server", ":50051"], "no host"),
        (&["list", "--register", "x/y"], "UUID"),
        (&["list", "--name", "a b"], "A-Z"),
        (&["list", "--registry", "zookeeper"], "mdns"),
        (&["list", "--registry", "static"], "--server HOST:PORT or"),
        (
            &[
                "list",
                "--registry",
                "etcd",
                "--registry-address",
                "ftp://x",
            ],
            "https://HOST:PORT",
        ),
        (&["discover", "--for", "0"], "above 0"),
        (&["discover", "-o", "csv"], "ndjson"),
        (&["discover", "--registry", "dns"], "--registry-address"),
        (&["serve", "--register-ttl", "1s"], "2s"),
        (&["serve", "--register-interval", "soon"], "1m30s"),
        (&["serve", "--register-interval", "60"], "--register-ttl"),
        (&["serve", "--address", "50051"], "HOST:PORT"),
        (&["serve", "--address", "1.2.3.4:70000"], "65535"),
        (&["serve", "--store", "mysql://x"], "sqlite:PATH"),
        (&["serve", "--store", "sqlite:"], "names no file"),
        (
            &["serve", "--lan", "--address", ":1"],
            "--lan and --address",
        ),
    ] {
        let ran = run_to_end(shippy(home.path()).args(args))
            .exits(2)
            .says(&[said]);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_command_with_all_its_flags() {
    let home = folder();
    let pages = home.path().join("share/man1");
    run(shippy(home.path()).arg("man").arg(&pages)).exits(0);
    let page = |name: &str| fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
    for command in COMMANDS {
        assert!(
            page("shippy").contains(&format!("shippy\\-{command}(1)")),
            "{command}"
        );
        let help = run(shippy(home.path()).args([command, "--help"]))
            .exits(0)
            .stdout;
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        let page = page(&format!("shippy-{command}"));
        for flag in flags.filter(|flag| {
            flag.bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_alphanumeric())
        }) {
            let flag = flag.replace('-', "\\-");
            assert!(page.contains(&flag), "{command} {flag}: {page}");
        }
    }
    // Where no folder can be made.
    let ran = run(shippy(home.path()).args(["man", "/dev/null/x"]));
    ran.exits(1).says(&["/dev/null/x"]);
}

#[test]
fn a_shell_completes_commands_and_flags() {
    let home = folder();
    let script = home.path().join("shippy.bash");
    let printed = run(shippy(home.path()).args(["completions", "bash"])).exits(0);
    fs::write(&script, printed.stdout).unwrap();
    for (words, expected) in [
        (&["shippy", "cre"][..], "create"),
        (&["shippy", "list", "--cust"], "--customer"),
        (&["shippy", "list", "--output", "nd"], "ndjson"),
    ] {
        let complete = format!(
            ". {}; COMP_WORDS=({}); COMP_CWORD={}; _shippy shippy {} {}; echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let ran = run(Command::new("bash").args(["-c", &complete])).exits(0);
        assert_eq!(ran.stdout.trim(), expected, "{ran:#?}");
    }
    for (shell, flag) in [("zsh", "--customer"), ("fish", "-l customer ")] {
        let printed = run(shippy(home.path()).args(["completions", shell])).exits(0);
        assert!(printed.stdout.contains(flag), "{shell}");
    }
    run(shippy(home.path()).args(["completions", "tcsh"])).exits(2);
}
