//! Why a command ends, in the format of its log.

use serde_json::json;

use super::{folder, objects};
use crate::support::{free_address, run, shippy};

#[test]
fn in_json_why_it_ends_is_an_object_too() {
    let home = folder();
    let closed = free_address();
    let store = format!(
        "sqlite:{}",
        home.path().join("no/such\u{1b}/x.db").display()
    );
    std::fs::write(home.path().join("no"), "a file").unwrap();
    for (args, exit, text) in [
        (
            &["serve", "--store", &store][..],
            1,
            "could not use the folder",
        ),
        (
            &["serve", "--store", &store, "--log-level", "off"],
            1,
            "could not use the folder",
        ),
        (&["serve", "--store", "postgres://a:b@c/d"], 2, "password"),
        (
            &["serve", "--address", "nonsense"],
            2,
            "invalid value 'nonsense' for '--address",
        ),
        (
            &["list", "--server", &closed, "--timeout", "1s"],
            3,
            "no server answered",
        ),
    ] {
        for by_flag in [true, false] {
            let mut command = shippy(home.path());
            command.args(args);
            if by_flag {
                command.arg("--log-format=json");
            } else {
                command.env("SHIPPY_LOG_FORMAT", "json");
            }
            let ran = run(&mut command).exits(exit);
            let lines = objects(&ran.stderr);
            let last = lines.last().unwrap_or_else(|| panic!("{ran:#?}"));
            assert_eq!(
                (&last["level"], &last["fields"]["exit"]),
                (&json!("ERROR"), &json!(exit))
            );
            let message = last["fields"]["message"].as_str().unwrap();
            assert!(
                message.contains(text) && !message.starts_with("shippy:"),
                "{ran:#?}"
            );
            assert!(
                last["timestamp"].is_string() && !ran.stderr.contains('\u{1b}'),
                "{ran:#?}"
            );
        }
    }
    // What is asked for is no error.
    let ran = run(shippy(home.path()).args(["--help", "--log-format", "json"])).exits(0);
    assert!(
        ran.stdout.contains("Usage") && ran.stderr.is_empty(),
        "{ran:#?}"
    );
}
