//! Commands as a shell takes them, for people to give them again.

use std::fmt::Write as _;

use crate::escape::acts;

/// `word` so that a shell reads it as one word, and a terminal is not acted upon.
pub(super) fn quoted(word: &[u8]) -> String {
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
