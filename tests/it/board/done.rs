//! What people do with the board.

use serde_json::json;

use super::{create, page};
use crate::{
    cli::file,
    security::{serve, token},
    support::{answer::get, browser::Browser, folder},
};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const DOWN: &str = "\u{e015}";

const LIVE: &str = "document.querySelector('#state').dataset.state === 'live'";

fn has_focus(selector: &str) -> String {
    format!("document.activeElement?.matches({selector:?})")
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn a_filter_shows_what_meets_it_as_it_comes_and_has_an_address() {
    let home = folder();
    let server = serve(home.path(), &[]);
    let on = |vessel: &str, customer: &str, origin: &str| {
        json!({"description": format!("{vessel}{customer}{origin}"), "vessel_id": vessel,
            "containers": [{"customer_id": customer, "origin": origin}]})
    };
    create(
        &server,
        home.path(),
        &json!([on("a", "1", "x"), on("b", "1", "y"), on("a", "2", "y")]),
    );
    let browser = Browser::start();
    browser.open(&page(&server));
    let shown = |browser: &Browser| {
        browser.run("return [...document.querySelectorAll('#rows .what')].map((cell) => cell.textContent).join()")
    };
    browser.until("document.querySelectorAll('#rows tr').length === 3");
    browser.fill("#vessel_id", "a");
    browser.press(ENTER);
    browser.until("document.querySelectorAll('#rows tr').length === 2");
    assert_eq!(shown(&browser), "a2y,a1x");
    browser.until(LIVE);
    create(
        &server,
        home.path(),
        &json!([on("b", "3", "z"), on("a", "3", "z")]),
    );
    browser.until("document.querySelectorAll('#rows tr').length === 3");
    assert_eq!(shown(&browser), "a3z,a2y,a1x");
    browser.fill("#origin", "y");
    browser.press(ENTER);
    browser.until("document.querySelectorAll('#rows tr').length === 1");
    assert_eq!(shown(&browser), "a2y");
    assert!(browser.is("location.search === '?vessel_id=a&origin=y'"));
    browser.reload();
    browser.until("document.querySelectorAll('#rows tr').length === 1");
    assert_eq!(
        browser.run("return document.querySelector('#origin').value"),
        "y"
    );
    browser.run("history.back()");
    browser.until("document.querySelectorAll('#rows tr').length === 3");

    browser.fill("#customer_id", "none of them");
    browser.press(ENTER);
    browser.until("!document.querySelector('#empty').hidden && document.querySelector('#empty').textContent.startsWith('Nothing meets')");
    browser.click("#clear");
    browser.until("document.querySelectorAll('#rows tr').length === 5");
    // A year ago there was nothing, and in a minute there will have been all of it.
    browser.run("const now = new Date(Date.now() + 6e4 - new Date().getTimezoneOffset() * 6e4).toISOString().slice(0, 19);
        document.querySelector('#created_until').value = now.replace(/^\\d+/, (year) => year - 1);
        document.querySelector('#filters').requestSubmit();");
    browser.until("document.querySelector('#rows').childElementCount === 0 && !document.querySelector('#empty').hidden");
    browser.run("const now = new Date(Date.now() + 6e4 - new Date().getTimezoneOffset() * 6e4).toISOString().slice(0, 19);
        document.querySelector('#created_until').value = now;
        document.querySelector('#filters').requestSubmit();");
    browser.until("document.querySelectorAll('#rows tr').length === 5");
    browser.click("#clear");
    browser.until("document.querySelectorAll('#vessels button').length === 2");
    browser.click("#vessels button[value=b]");
    browser.until("document.querySelectorAll('#rows tr').length === 2");
    assert_eq!(shown(&browser), "b3z,b1y");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn everything_is_done_with_the_keyboard() {
    let home = folder();
    let server = serve(home.path(), &[]);
    let container = json!({"id": "MSKU1", "customer_id": "cust001", "origin": "Manchester", "user_id": "user001"});
    create(
        &server,
        home.path(),
        &json!([{"id": "one", "description": "1"}, {"id": "two", "description": "2", "containers": [container]}]),
    );
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until("document.querySelectorAll('#rows tr').length === 2");
    browser.press("/");
    browser.until(&has_focus("#vessel_id"));
    assert_eq!(
        browser.run("return document.querySelector('#vessel_id').value"),
        ""
    );

    // From the first condition to the first row by Tab alone, and each stop is seen.
    for _ in 0..40 {
        browser.press(TAB);
        let stop = browser.run(
            "const at = document.activeElement; return [at.outerHTML, getComputedStyle(at).outlineStyle]",
        );
        assert_eq!(stop[1], "solid", "{stop}");
        if browser.is(&has_focus("#rows a")) {
            break;
        }
    }
    browser.until(&has_focus("#rows tr:nth-child(1) a"));
    browser.press(DOWN);
    browser.until(&has_focus("#rows tr:nth-child(2) a"));
    browser.press("\u{e013}");
    browser.press(ENTER);
    browser.until("document.querySelector('#detail[open] code')?.textContent === 'two'");
    assert!(browser.text("#detail-body").contains("cust001"));
    browser.press(ESCAPE);
    browser.until("!document.querySelector('#detail').open && location.hash === ''");
    browser.until(&has_focus("#rows tr:nth-child(1) a"));

    browser.run("document.querySelector('#new').focus()");
    browser.press(ENTER);
    browser.until(&has_focus("#record [name=description]"));
    browser.press(&format!("Typed{TAB}77{TAB}v9"));
    browser.press(ENTER);
    browser.until("!document.querySelector('#record').open");
    browser.until("document.querySelectorAll('#rows tr').length === 3");
    assert_eq!(browser.text("#rows .what"), "Typed");
    browser.until(&has_focus("#new"));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn what_is_wrong_with_a_consignment_is_said_where_it_is() {
    let home = folder();
    let server = serve(home.path(), &[]);
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until(LIVE);
    browser.until(
        "document.querySelector('#empty').textContent.startsWith('There are no consignments')",
    );
    browser.click("#new");
    browser.fill("[name=description]", "Tyres");
    browser.fill("[name=weight]", "-5");
    browser.click("#record-add");
    // One that is taken away again does not shift what is said of the others.
    browser.click("#record-containers fieldset:first-child button");
    browser.fill("[name='containers[1].customer_id']", "cust001");
    browser
        .run("document.querySelector(\"[name='containers[1].origin']\").value = 'x'.repeat(5000)");
    browser.click("#record-send");
    browser.until("document.querySelectorAll('#record [aria-invalid]').length === 2");
    browser.until(&has_focus("[name=weight][aria-invalid]"));
    assert!(
        browser
            .text("#record-weight-error")
            .contains("must not be below 0")
    );
    let origin = "document.getElementById('record-containers[1].origin-error').textContent";
    assert!(browser.is(&format!("{origin}.includes('at most 4096')")));
    assert_eq!(
        get(server.address, "/v1/consignments", &[]).json()["consignments"],
        json!([])
    );

    browser.fill("[name=weight]", "heavy");
    browser.run("document.querySelector(\"[name='containers[1].origin']\").value = 'Manchester'");
    browser.click("#record-send");
    browser.until("document.querySelectorAll('#record [aria-invalid]').length === 1");
    assert!(!browser.text("#record-weight-error").is_empty());
    browser.fill("[name=weight]", "550");
    browser.fill("[name=id]", "mine-1");
    browser.click("#record-send");
    browser.until("!document.querySelector('#record').open");
    browser.until("document.querySelector('#rows .what')?.textContent === 'Tyres'");
    assert_eq!(browser.text("#note"), "Consignment 1 is recorded.");
    let stored = &get(server.address, "/v1/consignments", &[]).json()["consignments"][0];
    assert_eq!(
        (&stored["id"], &stored["weight"]),
        (&json!("mine-1"), &json!(550))
    );
    assert_eq!(
        stored["containers"],
        json!([{"customer_id": "cust001", "origin": "Manchester"}])
    );

    // Another with its id.
    browser.click("#new");
    browser.fill("[name=description]", "Not tyres");
    browser.fill("[name=id]", "mine-1");
    browser.click("#record-send");
    browser.until("document.querySelector('#record [name=id][aria-invalid]')");
    // The browser itself notes each answer that is a refusal.
    let others = browser
        .complaints()
        .into_iter()
        .filter(|text| !text.contains("the server responded with a status of 4"));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn whoever_has_a_token_signs_in_and_does_what_it_is_for() {
    let home = folder();
    let (desk, first) = token(home.path(), "desk", "read");
    let (crane, second) = token(home.path(), "crane", "write");
    let tokens = file(home.path(), "tokens", format!("{first}\n{second}\n"));
    let server = serve(home.path(), &["--tokens", &tokens]);
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until("!document.querySelector('#sign-in').hidden");
    browser.until(&has_focus("#token"));
    assert!(browser.is("document.querySelector('#board').hidden"));
    assert_eq!(browser.complaints(), [""; 0]);

    browser.fill("#token", "shippy_wrong");
    browser.press(ENTER);
    browser.until("document.querySelector('#token-error').textContent === 'The server does not know this token.'");
    browser.complaints();
    browser.fill("#token", &desk);
    browser.press(ENTER);
    browser.until(LIVE);
    assert_eq!(browser.text("#who-name"), "desk (read only)");
    assert!(browser.is("document.querySelector('#new').hidden"));
    // No script can read it, and no other site can send it.
    assert!(browser.is("document.cookie === ''"));
    let cookies = browser.cookies();
    assert_eq!(cookies.as_array().unwrap().len(), 1, "{cookies}");
    assert_eq!(
        (&cookies[0]["httpOnly"], &cookies[0]["sameSite"]),
        (&json!(true), &json!("Strict"))
    );
    browser.reload();
    browser.until(LIVE);

    browser.click("#sign-out");
    browser.until("!document.querySelector('#sign-in').hidden");
    assert_eq!(browser.cookies(), json!([]));
    browser.fill("#token", &crane);
    browser.press(ENTER);
    browser.until(LIVE);
    browser.click("#new");
    browser.fill("[name=description]", "By the crane");
    browser.click("#record-send");
    browser.until("document.querySelector('#rows .what')?.textContent === 'By the crane'");
    let bearer = format!("Authorization: Bearer {crane}");
    let stored = get(server.address, "/v1/consignments", &[&bearer]).json();
    assert_eq!(stored["consignments"][0]["created_by"], "crane");
    assert_eq!(browser.complaints(), [""; 0]);

    // A token that is taken back is asked for again.
    std::fs::write(home.path().join("tokens"), format!("{first}\n")).unwrap();
    browser.until("!document.querySelector('#sign-in').hidden");
}
