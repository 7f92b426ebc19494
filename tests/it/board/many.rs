//! A register of many consignments, behind a page of them.

use std::{env, fmt::Write as _, path::Path, process::Command};

use serde_json::json;

use super::{create, page};
use crate::support::{
    Server, browser::Browser, eventually_after, folder, run, shippy, unconfigured,
};

/// How many there are unless `SHIPPY_TEST_BOARD_ROWS` says so.
const ROWS: usize = 100_000;
/// Vessels, by turns.
const VESSELS: usize = 40;
const LIVE: &str = "document.querySelector('#state').dataset.state === 'live'";

/// Has the page keep how many frames there are, the longest time between two of them, and each task that kept it from doing
/// anything else for 50 ms or more.
const WATCH: &str = "
    window.tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => Math.round(one.duration))))
        .observe({type: 'longtask'});
    window.longest = 0;
    window.drawn = 0;
    let last = performance.now();
    const frame = (now) => {
        drawn += 1;
        longest = Math.max(longest, now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);";

/// `shippy` as it is shipped, where `SHIPPY_BENCH_BINARY` names one that is built so.
fn shipped(home: &Path) -> Command {
    let Some(binary) = env::var_os("SHIPPY_BENCH_BINARY") else {
        return shippy(home);
    };
    let mut command = Command::new(binary);
    unconfigured(&mut command, home);
    command
}

fn serve(home: &Path) -> Server {
    let mut command = shipped(home);
    let store = format!("sqlite:{}", home.join("register.db").display());
    command.args(["serve", "--registry", "static", "--store", &store]);
    Server::spawn(command, home)
}

/// Does `what`, which `work` is, and prints what the page has kept of it, and the processor time that it took of the page's
/// main thread.
fn measured(browser: &Browser, what: &str, work: impl FnOnce()) {
    browser.run("window.longest = 0; window.drawn = 0; window.tasks = [];");
    let before = browser.main_thread_ms();
    work();
    let took = browser.main_thread_ms() - before;
    let kept =
        browser.run("return [drawn, Math.round(longest), tasks.length, Math.max(0, ...tasks)]");
    println!(
        "{what}: {took:.0} ms of the main thread in {} frames; the longest time between two frames {} ms, {} long tasks, the longest {} ms",
        kept[0], kept[1], kept[2], kept[3]
    );
}

/// Fails the test unless exactly the consignments from `from` down to `to` are shown, in steps of `step`.
#[track_caller]
fn is_whole(browser: &Browser, from: usize, to: usize, step: usize) {
    let expected: Vec<_> = (to..=from)
        .rev()
        .step_by(step)
        .map(|number| number.to_string())
        .collect();
    let shown = browser.run(
        "return [...document.querySelectorAll('#rows .what')].map((cell) => cell.textContent)",
    );
    assert_eq!(shown, json!(expected));
    assert!(
        browser.count("*") < 3_000,
        "{} elements",
        browser.count("*")
    );
}

fn shows_first(number: usize) -> String {
    format!("document.querySelector('#rows .what')?.textContent === '{number}'")
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_hundred_thousand_rows_or_a_million_are_a_page_of_them() {
    let rows = env::var("SHIPPY_TEST_BOARD_ROWS").map_or(ROWS, |rows| rows.parse().unwrap());
    let home = folder();
    let server = serve(home.path());
    let path = crate::cli::file(home.path(), "many.ndjson", lines(rows));
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until(LIVE);
    browser.run(WATCH);
    let all = browser.run(&format!("return new Intl.NumberFormat().format({rows})"));
    measured(&browser, &format!("a load of {rows}"), || {
        let mut load = shipped(home.path());
        load.args(["create", "--quiet", &path, "--server"]);
        run(load.arg(server.address.to_string())).exits(0);
        // All of them went through the page.
        let size = || browser.text("#size");
        eventually_after("the last one", size, || {
            (json!(size()) == all).then_some(())
        });
        browser.until(&shows_first(rows));
    });
    is_whole(&browser, rows, rows - 99, 1);
    let cover = "document.querySelector('#vessels-cover').textContent";
    browser.until(&format!("{cover}.includes({all})"));
    assert_eq!(browser.count("#vessels tr"), 10);

    measured(&browser, "twenty pages, each scrolled to its end", || {
        goes_through_pages(&browser, rows);
    });
    measured(&browser, "ten filters", || filters(&browser, rows));
    newer_ones_wait(&browser, rows, || {
        create(&server, home.path(), &json!({"description": "new"}));
    });
    assert_eq!(browser.complaints(), [""; 0]);
}

fn lines(rows: usize) -> String {
    let mut lines = String::new();
    let containers = r#"[{"customer_id":"cust001","origin":"Manchester, United Kingdom"}]"#;
    for number in 1..=rows {
        let vessel = number % VESSELS;
        let _memory_takes_all = writeln!(
            lines,
            r#"{{"description":"{number}","weight":1,"vessel_id":"v{vessel}","containers":{containers}}}"#
        );
    }
    lines
}

/// Twenty pages back, each scrolled to its end, and one forth.
fn goes_through_pages(browser: &Browser, rows: usize) {
    for page in 1..=20 {
        browser.click("#older");
        browser.until(&shows_first(rows - 100 * page));
        browser.run(
            "window.isAtEnd = false;
            const step = () => {
                const before = scrollY;
                scrollBy(0, 40);
                if (scrollY > before) requestAnimationFrame(step);
                else isAtEnd = true;
            };
            scrollTo(0, 0);
            step();",
        );
        browser.until("isAtEnd");
    }
    is_whole(browser, rows - 2_000, rows - 2_099, 1);
    browser.click("#newer");
    browser.until(&shows_first(rows - 1_900));
    is_whole(browser, rows - 1_900, rows - 1_999, 1);
}

/// Each filter shows its newest, and then all of them do again.
fn filters(browser: &Browser, rows: usize) {
    for vessel in 0..10 {
        browser.fill("#vessel_id", &format!("v{vessel}"));
        browser.press("\u{e007}");
        let newest = (0..VESSELS)
            .map(|back| rows - back)
            .find(|number| number % VESSELS == vessel);
        browser.until(&shows_first(newest.unwrap()));
        browser.until(LIVE);
        is_whole(
            browser,
            newest.unwrap(),
            newest.unwrap() - 99 * VESSELS,
            VESSELS,
        );
    }
    browser.click("#clear");
    browser.until(&shows_first(rows));
}

/// What comes while another page is shown is told, and shown when it is asked for.
fn newer_ones_wait(browser: &Browser, rows: usize, create: impl FnOnce()) {
    browser.click("#older");
    browser.until(&shows_first(rows - 100));
    create();
    browser.until("document.querySelector('#newest').textContent === 'Newest (1 new)'");
    is_whole(browser, rows - 100, rows - 199, 1);
    browser.click("#newer");
    browser.until(&shows_first(rows));
    is_whole(browser, rows, rows - 99, 1);
    browser.click("#newest");
    browser.until("document.querySelector('#rows .what')?.textContent === 'new'");
    assert!(browser.is("document.querySelector('#newest').hidden"));
}
