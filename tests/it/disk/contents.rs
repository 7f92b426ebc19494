//! What a disk holds after a power cut: what was synced, and of the rest what chance left.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::kill::Dice;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// The entries of a journal, as `tests/faults/disk.c` writes them.
const CREATED: u64 = 1;
const OPENED: u64 = 2;
const WRITTEN: u64 = 3;
const RESIZED: u64 = 4;
const SYNCED: u64 = 5;
const REMOVED: u64 = 6;
const FAILED: u64 = 7;

/// How much of what was not synced a cut takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    All,
    Nothing,
    /// Each sector by chance, and of the folder's changes those after a moment.
    Some,
}

impl Cut {
    pub(super) fn any(dice: &mut Dice) -> Self {
        [Self::All, Self::Nothing, Self::Some, Self::Some][dice.index(4)]
    }
}

/// One folder's files, as they are on the disk for certain, and what was done since.
pub(super) struct Disk {
    folder: PathBuf,
    /// The folder's own inode.
    inode: u64,
    files: HashMap<u64, File>,
    names: HashMap<PathBuf, u64>,
    /// Names that came (with an inode) and went, not yet synced, each with its place in the journal.
    renamed: Vec<(u64, PathBuf, Option<u64>)>,
    /// Whether a call was made to fail.
    pub(super) failed: bool,
}

#[derive(Default)]
struct File {
    safe: Vec<u8>,
    /// Each with its place in the journal.
    pending: Vec<(u64, Change)>,
}

enum Change {
    Written(u64, Vec<u8>),
    Resized(u64),
}

impl Disk {
    /// All that is in `folder` now is safe.
    pub(super) fn of(folder: &Path) -> Self {
        let mut disk = Self {
            folder: folder.to_owned(),
            inode: folder.metadata().unwrap().ino(),
            files: HashMap::new(),
            names: HashMap::new(),
            renamed: Vec::new(),
            failed: false,
        };
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let inode = path.metadata().unwrap().ino();
            let safe = fs::read(&path).unwrap();
            let pending = Vec::new();
            disk.files.insert(inode, File { safe, pending });
            disk.names.insert(path, inode);
        }
        disk
    }

    /// What was done by a process that kept `journal`; nothing of it becomes safe where the disk does not keep to
    /// what it says of syncs.
    pub(super) fn follow(&mut self, journal: &[u8], keeps_to_syncs: bool) {
        let mut rest = journal;
        // The last entry may be cut short with the process that wrote it.
        while let Some((header, after)) = rest.split_at_checked(32) {
            let field = |at| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap());
            let length = usize::try_from(field(24)).unwrap();
            let Some((bytes, after)) = after.split_at_checked(length) else {
                break;
            };
            let at = (journal.len() - rest.len()) as u64;
            rest = after;
            let (what, inode, place) = (field(0), field(8), field(16));
            if what != SYNCED || keeps_to_syncs {
                self.note(at, what, inode, place, bytes);
            }
        }
    }

    fn note(&mut self, at: u64, what: u64, inode: u64, place: u64, bytes: &[u8]) {
        let path = || PathBuf::from(str::from_utf8(bytes).unwrap());
        match what {
            CREATED => {
                self.files.insert(inode, File::default());
                self.renamed.push((at, path(), Some(inode)));
            }
            REMOVED => self.renamed.push((at, path(), None)),
            SYNCED if inode == self.inode => {
                let done = self.renamed.extract_if(.., |(at, ..)| *at < place);
                done.for_each(|(_, path, inode)| rename(&mut self.names, path, inode));
            }
            SYNCED => {
                let file = self.files.get_mut(&inode).unwrap();
                let done = file.pending.extract_if(.., |(at, _)| *at < place);
                done.for_each(|(_, change)| change.apply(&mut file.safe, |_| true));
            }
            WRITTEN | RESIZED => {
                let change = if what == WRITTEN {
                    Change::Written(place, bytes.to_vec())
                } else {
                    Change::Resized(place)
                };
                let file = self.files.get_mut(&inode).unwrap();
                file.pending.push((at, change));
            }
            OPENED => {}
            FAILED => self.failed = true,
            _ => panic!("no entry: {what}"),
        }
    }

    /// Cuts the power: leaves in `folder` what `cut` and chance leave.
    pub(super) fn leave(mut self, cut: Cut, dice: &mut Dice, folder: &Path) {
        let stay = match cut {
            Cut::All => 0,
            Cut::Nothing => self.renamed.len(),
            Cut::Some => dice.index(self.renamed.len() + 1),
        };
        for (_, path, inode) in self.renamed.into_iter().take(stay) {
            rename(&mut self.names, path, inode);
        }
        for (path, inode) in &self.names {
            let File { safe, pending } = self.files.get_mut(inode).unwrap();
            for (_, change) in pending.drain(..) {
                change.apply(safe, |_| match cut {
                    Cut::All => false,
                    Cut::Nothing => true,
                    Cut::Some => dice.roll(2) == 0,
                });
            }
            let name = path.strip_prefix(&self.folder).unwrap();
            fs::write(folder.join(name), safe).unwrap();
        }
    }
}

impl Change {
    /// Does to `contents` what `stays`, which is asked for each sector.
    fn apply(&self, contents: &mut Vec<u8>, mut stays: impl FnMut(u64) -> bool) {
        match self {
            Self::Resized(length) if stays(0) => {
                contents.resize(usize::try_from(*length).unwrap(), 0);
            }
            Self::Resized(_) => {}
            Self::Written(place, bytes) => {
                let end = place + bytes.len() as u64;
                for sector in place / SECTOR..end.div_ceil(SECTOR) {
                    if !stays(sector) {
                        continue;
                    }
                    let from = place.max(&(sector * SECTOR)).to_owned();
                    let to = end.min((sector + 1) * SECTOR);
                    let [from_byte, to_byte] =
                        [from - place, to - place].map(|at| usize::try_from(at).unwrap());
                    let [from, to] = [from, to].map(|at| usize::try_from(at).unwrap());
                    if contents.len() < to {
                        contents.resize(to, 0);
                    }
                    contents[from..to].copy_from_slice(&bytes[from_byte..to_byte]);
                }
            }
        }
    }
}

fn rename(names: &mut HashMap<PathBuf, u64>, path: PathBuf, inode: Option<u64>) {
    match inode {
        Some(inode) => names.insert(path, inode),
        None => names.remove(&path),
    };
}
