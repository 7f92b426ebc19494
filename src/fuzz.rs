//! What must hold of whatever comes from outside. `cargo fuzz` looks for what breaks it (`fuzz/`); a test here tries
//! again what was found and what it began with (`fuzz/corpus/`). Not in what is shipped.

use crate::{
    cli,
    client::fuzz::status,
    registry::{consul, etcd, mdns},
    service,
    store::postgres,
};

type Check = fn(&[u8]);

/// What holds of some kind of input, each under the name of its file in `fuzz/fuzz_targets` and of its folder in
/// `fuzz/corpus`.
const CHECKS: [(&str, Check); 11] = [
    ("consignment", consignment),
    ("consul_list", consul::fuzz::list),
    ("etcd_value", etcd::fuzz::value),
    ("input", cli::fuzz::input),
    ("list", service::fuzz::list),
    ("mdns_reply", mdns::fuzz::reply),
    ("mdns_txt", mdns::fuzz::txt),
    ("password_file", postgres::fuzz::password_file),
    ("postgres_url", postgres::fuzz::url),
    ("setting", cli::fuzz::setting),
    ("status", status),
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
        // It tries a dependency alone.
        let others = BTreeSet::from(["mdns_browse".to_owned()]);
        assert_eq!(targets, &here | &others);
    }
}
