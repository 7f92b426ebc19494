//! How the board looks, and what it makes of what is in the register.

use serde_json::json;

use super::{create, page};
use crate::{
    security::serve,
    support::{browser::Browser, folder},
};

#[test]
#[ignore = "needs chromium and chromedriver"]
fn what_drives_terminals_and_pages_is_text() {
    let home = folder();
    let server = serve(home.path(), &[]);
    let hostile =
        "<script>document.title='had'</script><img src=x onerror=\"document.title='had'\">";
    let driving = "a\u{1b}[2J\u{202e}gpj.exe\u{0}\nb";
    create(
        &server,
        home.path(),
        &json!([
            {"id": "html", "description": hostile, "vessel_id": hostile, "containers": [
                {"id": hostile, "customer_id": hostile, "origin": hostile, "user_id": hostile}]},
            {"id": "controls", "description": driving, "vessel_id": driving},
            {"id": "long", "description": "x".repeat(4096), "vessel_id": "y".repeat(4096)},
        ]),
    );
    let browser = Browser::start();
    browser.open(&page(&server));
    browser.until("document.querySelectorAll('#rows tr').length === 3");
    browser.until("document.querySelectorAll('#vessels tr').length === 3");
    assert!(
        browser
            .text("#rows tr:last-child .what")
            .starts_with("<script>")
    );
    assert_eq!(
        browser.text("#rows tr:nth-child(2) .vessel"),
        "a\\u{1b}[2J\\u{202e}gpj.exe\\u{0}\\nb"
    );
    for id in ["html", "controls", "long"] {
        browser.open(&format!("{}#consignment/{id}", page(&server)));
        browser.until(&format!(
            "document.querySelector('#detail[open] code')?.textContent === '{id}'"
        ));
    }
    // Nothing of it is wider than a phone.
    browser.show_on(360, 740, false);
    assert!(browser.is("document.scrollingElement.scrollWidth <= innerWidth"));
    browser.open(&format!("{}#consignment/html", page(&server)));
    browser.until("document.querySelector('#detail[open] code')?.textContent === 'html'");
    assert!(browser.text("#detail dd .text").contains("onerror="));
    assert!(browser.is("document.querySelector('#detail').scrollWidth <= innerWidth"));
    assert_eq!(browser.count("script, img"), 1, "its own script");
    assert_eq!(browser.run("return document.title"), "shippy");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn it_is_light_or_dark_and_fits_a_phone() {
    let home = folder();
    let server = serve(home.path(), &[]);
    let goods = [
        "Ceramic tiles",
        "Coffee in bags of 60 kg",
        "Bicycles for assembly",
        "Steel coils",
    ];
    let from = [
        "Rotterdam, Netherlands",
        "Manchester, United Kingdom",
        "Gdańsk, Poland",
    ];
    let vessels = [
        "Atlantic Star",
        "Baltic Tern",
        "Finnlady",
        "Pride of Hull",
        "Wadden Sea",
    ];
    let consignments: Vec<_> = (0..240_usize)
        .map(|number| {
            let container = |at: usize| {
                json!({"id": format!("MSKU{:07}", (number + at) * 7_919 % 9_999_999), "customer_id": format!("cust{:03}", number % 23),
                    "origin": from[(number + at) % 3], "user_id": format!("user{:03}", number % 5)})
            };
            json!({"description": goods[number % 4], "weight": number * 7_919 % 25_000, "vessel_id": vessels[number * 3 % 5],
                "containers": (0..=number % 3).map(container).collect::<Vec<_>>()})
        })
        .collect();
    create(&server, home.path(), &json!(consignments));
    let browser = Browser::start();
    let luminance = "(() => {
        const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
        return (r + g + b) / 3;
    })()";
    for (name, width, height, is_dark) in [
        ("light", 1280, 800, false),
        ("dark", 1280, 800, true),
        ("phone", 360, 740, false),
        ("phone-dark", 360, 740, true),
    ] {
        browser.show_on(width, height, is_dark);
        browser.open(&page(&server));
        browser.until("document.querySelectorAll('#rows tr').length === 100");
        browser.until("document.querySelectorAll('#vessels tr').length === 5");
        let seen = browser
            .run(&format!("return {luminance}"))
            .as_f64()
            .unwrap();
        assert_eq!(seen < 60.0, is_dark, "{name}: {seen}");
        assert!(
            browser.is("document.scrollingElement.scrollWidth <= innerWidth"),
            "{name}"
        );
        assert!(least_contrast(&browser) >= 4.5, "{name}");
        keep(&browser, name);
        browser.run("document.querySelector('#rows tr:nth-child(2) a').click()");
        browser.until("document.querySelector('#detail[open] code')");
        assert!(
            browser.is("document.querySelector('#detail').scrollWidth <= innerWidth"),
            "{name}"
        );
        assert!(least_contrast(&browser) >= 4.5, "{name}");
        keep(&browser, &format!("{name}-detail"));
        browser.run(
            "document.querySelector('#detail').close(); document.querySelector('#new').click()",
        );
        browser.until("document.querySelector('#record[open]')");
        assert!(
            browser.is("document.querySelector('#record').scrollWidth <= innerWidth"),
            "{name}"
        );
        keep(&browser, &format!("{name}-form"));
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The least contrast between a text and what is behind it (WCAG 2.2, 1.4.3).
fn least_contrast(browser: &Browser) -> f64 {
    let script = "
        const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => {
            const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * x + 0.7152 * y + 0.0722 * z;
        };
        const behind = (at) => {
            for (; at; at = at.parentElement) {
                const colour = parts(getComputedStyle(at).backgroundColor);
                if (colour.length < 4 || colour[3] === 1) return colour;
            }
            return [255, 255, 255];
        };
        const hasText = (at) => [...at.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '');
        // What has just come is pointed out for a moment.
        document.getAnimations().forEach((one) => one.finish());
        let least = 21;
        for (const at of document.querySelectorAll('body *')) {
            if (!hasText(at) || at.disabled || !at.checkVisibility({visibilityProperty: true})) continue;
            const [one, two] = [light(parts(getComputedStyle(at).color)), light(behind(at))].sort((a, b) => b - a);
            least = Math.min(least, (one + 0.05) / (two + 0.05));
        }
        return least;";
    browser.run(script).as_f64().unwrap()
}

/// Keeps a picture where somebody wants to look at it.
fn keep(browser: &Browser, name: &str) {
    if let Some(folder) = std::env::var_os("SHIPPY_TEST_SCREENSHOTS") {
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        browser.screenshot(&path);
    }
}
