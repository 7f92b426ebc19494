//! What must hold of any URL and any password file: nobody is shown a password.

use super::{
    address::PostgresUrl,
    password::{For, in_text},
};

/// The ends of two passwords. Neither begins as a number in `%XX` does.
const SECRETS: [&str; 2] = ["HUNTER2", "WINTER9"];

/// Reads a URL whose password ends in a secret, with the first line of `data` before that and the rest behind. What is
/// shown must be the same for another secret: `data` may say for itself what one of them says.
pub(crate) fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (before, behind) = text.split_once('\n').unwrap_or((text, "db/depot"));
    if before.contains('@') {
        return;
    }
    let [shown, other] = SECRETS.map(|secret| {
        let url = format!("postgres://ann:{before}{secret}@{behind}");
        shown(&url)
    });
    assert_eq!(shown, other, "{text}");
}

/// What anybody is shown of a URL with a password: itself, or what is wrong with it.
fn shown(url: &str) -> String {
    let parsed = match url.parse::<PostgresUrl>() {
        Ok(parsed) => parsed,
        Err(error) => return error,
    };
    assert!(parsed.has_password(), "{url}");
    for number in 0..parsed.hosts() {
        let config = parsed.config(number);
        assert_eq!(config.get_hosts().len(), 1, "{url}");
        assert_eq!(config.get_password(), parsed.config(0).get_password());
    }
    format!("{parsed} {parsed:?}")
}

/// Looks for a password in a file that begins with `data` and ends in a line that fits; and takes `data` for a password.
pub(crate) fn password_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let wanted = For {
        host: "db",
        port: 5432,
        database: "depot",
        user: "ann",
    };
    let line = |password: &str| format!("db:5432:depot:ann:{password}");
    assert!(in_text(&format!("{text}\n{}", line("last")), wanted).is_some());

    let password = text.lines().next().unwrap_or_default();
    if !password.is_empty() {
        let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
        assert_eq!(in_text(&line(&escaped), wanted).as_deref(), Some(password));
    }
}
