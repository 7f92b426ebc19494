//! What the page does when its token is good for nothing any more.

use std::{fs, path::Path};

use super::page;
use crate::{
    cli::file,
    security::{serve, token},
    support::{Server, answer::get, browser::Browser, eventually, folder},
};

const ENTER: &str = "\u{e007}";
const LIVE: &str = "document.querySelector('#state').dataset.state === 'live'";
const ASKS: &str =
    "!document.querySelector('#sign-in').hidden && document.activeElement?.id === 'token'
    && !document.querySelector('dialog[open]')";

/// A server, a page of it that `crane` is signed in to, and a further token of `crane`'s.
struct SignedIn {
    server: Server,
    browser: Browser,
    first: String,
    second: String,
    /// The line of the second for the server.
    line: String,
}

impl SignedIn {
    fn new(home: &Path) -> Self {
        let (first, line) = token(home, "crane", "write");
        let tokens = file(home, "tokens", line);
        let server = serve(home, &["--tokens", &tokens]);
        let browser = Browser::start();
        browser.open(&page(&server));
        let (second, line) = token(home, "crane", "write");
        let signed_in = Self {
            server,
            browser,
            first,
            second,
            line,
        };
        signed_in.sign_in(&signed_in.first);
        signed_in
    }

    fn sign_in(&self, token: &str) {
        self.browser.until(ASKS);
        self.browser.fill("#token", token);
        self.browser.press(ENTER);
        self.browser.until(LIVE);
    }

    /// Takes the first token back, and waits until the server knows.
    fn take_back(&self, home: &Path) {
        fs::write(home.join("tokens"), &self.line).unwrap();
        let bearer = format!("Authorization: Bearer {}", self.first);
        eventually("the token's end", || {
            let answer = get(self.server.address, "/v1/vessels", &[&bearer]);
            (answer.status == 401).then_some(())
        });
    }
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn whoever_loses_a_token_is_asked_for_another_whatever_is_open_and_loses_nothing_typed() {
    let home = folder();
    let page = SignedIn::new(home.path());
    let browser = &page.browser;
    browser.click("#new");
    browser.fill("[name=description]", "Half typed");
    page.take_back(home.path());
    browser.until(ASKS);
    assert!(browser.is("document.querySelector('#who').hidden"));
    page.sign_in(&page.second);
    assert!(browser.is("!document.querySelector('#who').hidden"));
    browser.click("#new");
    browser.click("#record-send");
    browser.until("document.querySelector('#rows .what')?.textContent === 'Half typed'");
    browser.until("document.querySelector('#vessels-cover').textContent.includes('1 consignment')");
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn whatever_the_server_refuses_for_want_of_a_token_has_the_page_ask_for_one() {
    let home = folder();
    let page = SignedIn::new(home.path());
    let browser = &page.browser;
    // A page that nobody looks at follows nothing, so nothing tells it by itself.
    browser.run(
        "Object.defineProperty(document, 'hidden', {value: true});
        document.dispatchEvent(new Event('visibilitychange'));",
    );
    page.take_back(home.path());
    assert!(browser.is("!document.querySelector('#who').hidden"));
    browser.click("#new");
    browser.fill("[name=description]", "By nobody");
    browser.click("#record-send");
    browser.until(ASKS);
    // It goes on asking, without a word to the server.
    let count = "performance.getEntriesByType('resource').length";
    browser.run(&format!(
        "window.before = {count}; window.since = Date.now()"
    ));
    browser.until("Date.now() - since > 3000");
    assert!(browser.is(&format!("{count} === before")));
}
