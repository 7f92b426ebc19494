//! Somebody who has the image and nothing else.

use crate::{
    image::docker::{docker, image},
    support::{browser::Browser, free_port, own_name, run},
};

const README: &str = include_str!("../../../README.md");
/// What the README calls the container.
const NAME: &str = "register";
/// Its port, here and in the container.
const PORT: &str = "50051";

/// What the README has to be run, and the page that it has opened after that.
fn told() -> (Vec<&'static str>, &'static str) {
    let (_, section) = README.split_once("\n## The board\n").unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let (commands, after) = block.split_once("```").unwrap();
    let (_, page) = after.split_once("open <").unwrap();
    let (page, _) = page.split_once('>').unwrap();
    (commands.lines().collect(), page)
}

/// Goes with its test, its volumes too.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        let _gone = docker(&["rm", "--force", "--volumes", &self.0]).output();
    }
}

#[test]
#[ignore = "needs docker on this machine, chromium and chromedriver"]
fn image_two_commands_of_the_readme_show_newcomers_their_consignment_in_a_browser() {
    let (commands, page) = told();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let (container, port) = (Container(own_name()), free_port().to_string());
    for command in commands {
        let words: Vec<_> = command.split_whitespace().collect();
        assert_eq!(words[0], "docker", "{command}");
        let is_run = words[1] == "run";
        // Nothing else differs from what is told but a name, a port and an image that are this test's own.
        let own = words[1..].iter().map(|&word| match word {
            NAME => container.0.clone(),
            "shippy" if is_run => image().to_owned(),
            word if word == format!("{PORT}:{PORT}") => format!("{port}:{PORT}"),
            word => word.to_owned(),
        });
        run(docker(&[]).args(own)).exits(0);
    }
    let browser = Browser::start();
    browser.open(&page.replace(PORT, &port));
    browser.until(
        "document.querySelector('#rows .what')?.textContent === 'This is a test consignment'",
    );
    assert_eq!(browser.text("#rows .weight"), "550 kg");
    assert_eq!(browser.text("#size"), "1");
    assert_eq!(browser.complaints(), [""; 0]);
}
