//! What must hold of whatever comes from outside. `cargo fuzz` looks for what breaks it (`fuzz/`); a test here tries
//! again what was found and what it began with (`fuzz/corpus/`). Not in what is shipped.

use crate::{
    cli,
    client::fuzz::status,
    registry::{consul, dns, etcd, mdns},
    service,
    store::postgres,
    tokens::{self, Scope, Tokens, parse_name},
};

type Check = fn(&[u8]);

/// What holds of some kind of input, each under the name of its file in `fuzz/fuzz_targets` and of its folder in
/// `fuzz/corpus`.
const CHECKS: [(&str, Check); 14] = [
    ("consignment", consignment),
    ("consul_list", consul::fuzz::list),
    ("dns_target", dns::fuzz::target),
    ("etcd_value", etcd::fuzz::value),
    ("input", cli::fuzz::input),
    ("list", service::fuzz::list),
    ("mdns_query", mdns::fuzz::query),
    ("mdns_reply", mdns::fuzz::reply),
    ("mdns_txt", mdns::fuzz::txt),
    ("password_file", postgres::fuzz::password_file),
    ("postgres_url", postgres::fuzz::url),
    ("setting", cli::fuzz::setting),
    ("status", status),
    ("tokens", tokens),
];

/// Checks what holds of `data` as the kind of input that is called `name`.
///
/// # Panics
///
/// When it does not hold, or there is no such kind.
pub fn check(name: &str, data: &[u8]) {
    let (_, check) = CHECKS
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("{name} is not in src/fuzz.rs"));
    check(data);
}

/// Reads `data` as a consignment to be stored, and prints what is then listed.
fn consignment(data: &[u8]) {
    if let Some(listed) = service::fuzz::consignment(data) {
        cli::fuzz::printed(&[listed]);
    }
}

/// Reads `data` as a file of tokens. Nobody who is not in it is let in, and who is added is; what is wrong is told
/// without what somebody may have written in the place of a hash.
fn tokens(data: &[u8]) {
    const TOKEN: &str = "HUNTER2";
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.contains(TOKEN) {
        return;
    }
    let name = "depot/crane";
    let wrong = format!("{text}\n{name} write {TOKEN}");
    let error = wrong.parse::<Tokens>().unwrap_err();
    assert!(!error.reason.contains(TOKEN), "{error}");
    assert!((1..=wrong.lines().count()).contains(&error.line), "{error}");
    let Ok(known) = text.parse::<Tokens>() else {
        return;
    };
    assert_eq!(known.holder(TOKEN.as_bytes()), None);
    for line in text.lines().map(str::trim) {
        let first = line
            .split_whitespace()
            .next()
            .filter(|_| !line.starts_with('#'));
        assert!(first.is_none_or(|name| parse_name(name).is_ok() && known.named(name).is_some()));
    }
    if known.named(name).is_none() {
        let line = tokens::line(name, Scope::Read, TOKEN);
        let more: Tokens = format!("{text}\n{line}").parse().unwrap();
        let holder = more.holder(TOKEN.as_bytes()).unwrap();
        assert_eq!((&**holder.name, holder.scope), (name, Scope::Read));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    /// What is in a folder of `fuzz/`.
    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(folder);
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_was_found_before_is_mended_and_stays_so() {
        for (name, _) in CHECKS {
            let corpus = files(&format!("corpus/{name}"));
            assert!(!corpus.is_empty(), "{name} has no corpus");
            for path in corpus {
                // Shown when the check panics.
                println!("{}", path.display());
                check(name, &fs::read(&path).unwrap());
            }
        }
    }

    #[test]
    fn each_target_is_tried_here() {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let targets: BTreeSet<String> = files("fuzz_targets").into_iter().map(stem).collect();
        let here: BTreeSet<String> = CHECKS.map(|(name, _)| name.to_owned()).into();
        assert_eq!(targets, here);
    }
}
