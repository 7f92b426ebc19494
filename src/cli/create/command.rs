//! The command that goes on where this one stopped.

use std::{ffi::OsString, fmt::Write as _, os::unix::ffi::OsStrExt as _};

use super::batch::Batch;
use crate::escape::acts;

const FLAG: &str = "--resume";

/// The command line `given`, with `--resume` for `batch` and for no other, as a shell takes it.
pub(super) fn again(given: impl IntoIterator<Item = OsString>, batch: Option<Batch>) -> String {
    let mut words = Vec::new();
    let mut given = given.into_iter();
    let mut is_begun = false;
    let mut only_files = false;
    while let Some(word) = given.next() {
        let text = word.to_string_lossy();
        if !only_files && text == FLAG {
            // What follows is its value.
            given.next();
            continue;
        }
        if !only_files && text.starts_with(FLAG) && text[FLAG.len()..].starts_with('=') {
            continue;
        }
        only_files = only_files || text == "--";
        words.push(quoted(word.as_bytes()));
        if !is_begun && text == "create" {
            is_begun = true;
            words.extend(batch.map(|batch| format!("{FLAG} {batch}")));
        }
    }
    words.join(" ")
}

/// `word` so that a shell reads it as one word, and a terminal is not acted upon.
fn quoted(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=,@%+".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    if std::str::from_utf8(word).is_ok() && !text.contains(acts) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    // What bash, zsh and POSIX shells from 2024 on (XCU 2.2.4) take for bytes that cannot be shown.
    let mut shown = String::from("$'");
    for &byte in word {
        match byte {
            b'\'' | b'\\' => shown.extend(['\\', char::from(byte)]),
            b' '..=b'~' => shown.push(char::from(byte)),
            // A `String` takes everything, so this cannot fail.
            _ => drop(write!(shown, "\\x{byte:02x}")),
        }
    }
    shown.push('\'');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str], batch: Option<Batch>) -> String {
        again(given.iter().map(OsString::from), batch)
    }

    #[test]
    fn a_command_is_given_again_with_its_batch() {
        let batch = Batch::new();
        for (given, expected) in [
            (
                &["shippy", "create", "a.json"][..],
                "shippy create --resume BATCH a.json",
            ),
            (
                &["shippy", "create", "--server", "[::1]:5", "a b.json"],
                "shippy create --resume BATCH --server '[::1]:5' 'a b.json'",
            ),
            (
                &[
                    "/x/shippy",
                    "--log-level",
                    "debug",
                    "create",
                    "--resume",
                    "old",
                    "-",
                ],
                "/x/shippy --log-level debug create --resume BATCH -",
            ),
            (
                &["shippy", "create", "--resume=old", "create"],
                "shippy create --resume BATCH create",
            ),
            (
                &["shippy", "create", "--", "--resume"],
                "shippy create --resume BATCH -- --resume",
            ),
        ] {
            let expected = expected.replace("BATCH", &batch.to_string());
            assert_eq!(of(given, Some(batch)), expected);
        }
        assert_eq!(
            of(&["shippy", "create", "--resume", "old", "x"], None),
            "shippy create x"
        );
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        for word in [
            &b"it's"[..],
            b"",
            b"a\nb\\'c",
            b"$HOME `x` \"y\"",
            b"\xff\x1b[2J",
            "\u{202e}東京".as_bytes(),
            "東京 1".as_bytes(),
        ] {
            let quoted = quoted(word);
            assert!(!quoted.contains(acts), "{quoted:?}");
            let script = format!("printf %s {quoted}");
            let shell = std::process::Command::new("bash")
                .args(["-c", &script])
                .output();
            assert_eq!(shell.expect("a shell").stdout, word, "{quoted}");
        }
    }
}
