//! Libraries that stand in front of the system's calls in a process that they are loaded into (`LD_PRELOAD`).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Builds tests/faults/`name`.c in `folder`.
pub(crate) fn library(folder: &Path, name: &str) -> PathBuf {
    let library = folder.join(name).with_extension("so");
    let mut compile = Command::new("cc");
    compile.args(["-O1", "-shared", "-fPIC", "-o"]);
    compile.arg(&library);
    compile.arg(format!(
        "{}/tests/faults/{name}.c",
        env!("CARGO_MANIFEST_DIR")
    ));
    assert!(compile.status().unwrap().success(), "{compile:?}");
    library
}
