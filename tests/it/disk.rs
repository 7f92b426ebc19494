//! What a disk does to a register: a library in front of the system's calls keeps a journal of what the server does to its
//! files, and makes one of the calls fail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::support::{folder, own_name, preload::library, shippy};

mod contents;
mod errors;
mod power;

/// What keeps the journal.
struct Journal {
    home: TempDir,
    library: PathBuf,
}

impl Journal {
    fn new() -> Self {
        let home = folder();
        let library = library(home.path(), "disk");
        Self { home, library }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("journal")
    }

    /// `shippy serve` with its register in `folder`; its calls for the files there are kept.
    fn serving(&self, folder: &Path) -> Command {
        let mut command = shippy(folder);
        let store = format!("sqlite:{}", folder.join("register.db").display());
        command.args(["serve", "--name", &own_name(), "--store", &store]);
        command.env("LD_PRELOAD", &self.library);
        command.env("DISK_FOLDER", folder);
        command.env("DISK_JOURNAL", self.path());
        command
    }

    /// What the last server did.
    fn read(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }
}
