//! What the board does by itself.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{create, page};
use crate::support::{Server, browser::Browser, folder, free_address};

const LIVE: &str = "document.querySelector('#state').dataset.state === 'live'";

/// Consignments that the command line creates one after another.
const CREATED: usize = 20;

/// The numbers that are shown.
fn shown(browser: &Browser) -> serde_json::Value {
    browser
        .run("return [...document.querySelectorAll('#rows .no')].map((cell) => cell.textContent)")
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn what_the_command_line_creates_is_there_and_what_it_creates_next_comes() {
    let home = folder();
    let server = Server::start(home.path());
    create(
        &server,
        home.path(),
        &json!({"id": "first", "description": "Tyres", "weight": 1234, "vessel_id": "v1"}),
    );
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until(LIVE);
    browser.until("document.querySelector('#rows .what')?.textContent === 'Tyres'");
    assert_eq!(browser.text("#rows .weight"), "1,234 kg");
    assert_eq!(browser.text("#size"), "1");

    browser.run(
        "window.seen = {};
        new MutationObserver(() => {
            for (const cell of document.querySelectorAll('#rows .what')) seen[cell.textContent] ??= Date.now();
        }).observe(document.querySelector('#rows'), {childList: true});",
    );
    let mut took = Vec::new();
    for number in 0..CREATED {
        let name = format!("next {number}");
        create(
            &server,
            home.path(),
            &json!({"description": name, "vessel_id": "v2"}),
        );
        let answered = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        browser.until(&format!("seen[{name:?}]"));
        let seen = browser.run(&format!("return seen[{name:?}]"));
        took.push(seen.as_i64().unwrap() - i64::try_from(answered.as_millis()).unwrap());
    }
    took.sort_unstable();
    println!(
        "from the end of `shippy create` to the row: {} ms in the median, {} to {} ms",
        took[CREATED / 2],
        took[0],
        took[CREATED - 1]
    );
    assert_eq!(
        shown(&browser),
        json!(
            (1..=CREATED + 1)
                .rev()
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
        )
    );
    browser.until("document.querySelector('#vessels tr:nth-child(2) .many')?.textContent === '20'");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn it_comes_back_after_a_killed_server_with_no_gap_and_no_repeat() {
    let home = folder();
    let address = free_address();
    let start = || {
        Server::start_with(home.path(), |command| {
            command.args(["--address", &address]);
        })
    };
    let server = start();
    create(
        &server,
        home.path(),
        &json!([{"description": "1"}, {"description": "2"}]),
    );
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until(LIVE);
    browser.until("document.querySelectorAll('#rows tr').length === 2");
    // What stays is not made anew.
    browser.run("document.querySelector('#rows tr').dataset.kept = 'yes'");
    server.kill();
    browser.until("document.querySelector('#state').dataset.state === 'away'");
    assert_eq!(browser.text("#state"), "Not reached, trying again");
    let server = start();
    create(
        &server,
        home.path(),
        &json!([{"description": "3"}, {"description": "4"}]),
    );
    browser.until(LIVE);
    browser.until("document.querySelectorAll('#rows tr').length === 4");
    create(&server, home.path(), &json!({"description": "5"}));
    browser.until("document.querySelectorAll('#rows tr').length === 5");
    assert_eq!(shown(&browser), json!(["5", "4", "3", "2", "1"]));
    assert!(browser.is("document.querySelector('#rows tr:nth-child(4)').dataset.kept === 'yes'"));
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn another_register_at_the_same_address_is_shown_from_its_beginning() {
    let (one, other) = (folder(), folder());
    let address = free_address();
    let start = |home: &tempfile::TempDir| {
        Server::start_with(home.path(), |command| {
            command.args(["--address", &address]);
        })
    };
    let server = start(&one);
    create(
        &server,
        one.path(),
        &json!([{"description": "a"}, {"description": "b"}]),
    );
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until("document.querySelectorAll('#rows tr').length === 2");
    server.kill();
    let server = start(&other);
    create(
        &server,
        other.path(),
        &json!({"description": "of the other"}),
    );
    browser.until("document.querySelector('#rows .what')?.textContent === 'of the other'");
    assert_eq!(shown(&browser), json!(["1"]));
    browser.until(&format!(
        "document.querySelector('#register-id').textContent.includes({:?})",
        server.register
    ));
}
