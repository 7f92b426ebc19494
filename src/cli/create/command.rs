//! The command that goes on where this one stopped.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _};

use super::batch::Batch;
use crate::cli::shell::quoted;

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
}
