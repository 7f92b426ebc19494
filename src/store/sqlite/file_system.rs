//! What the file system is that a register is to be on.

use std::{fs::File, path::Path};

use rustix::fs::StatFs;

use crate::store::OpenError;

/// Where WAL's shared memory is not shared between machines, or locks are not (`f_type` of statfs(2)).
const NETWORKS: [(u64, &str); 5] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
];
/// What may be a disk of this machine's, or of the host of a virtual one, as well as a network's: sshfs, but
/// also ntfs-3g, virtiofs and WSL's drives.
const UNCERTAIN: [(u64, &str); 2] = [(0x6573_5546, "FUSE"), (0x0102_1997, "9P")];
/// Where the locks of flock(2) and those of fcntl(2), which are SQLite's, know nothing of each other. Elsewhere the one may
/// be carried by the other.
const PARTED: [u64; 8] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x794c_7630, // overlayfs
    0x2fc1_2fc1, // ZFS
    0xf2f5_2010, // F2FS
    0xca45_1a4e, // bcachefs
];

/// Whether a lock of the whole of `file` is certain not to be in the way of SQLite's.
pub(super) fn parts_locks(file: &File) -> bool {
    cfg!(target_os = "linux")
        && rustix::fs::fstatfs(file).is_ok_and(|found| PARTED.contains(&kind(&found)))
}

/// Looks at the file system of `folder`, which the register at `path` is in or below, or is to be; what there is to warn
/// of.
///
/// # Errors
///
/// [`OpenError::NetworkFileSystem`]
pub(super) fn check(folder: &Path, path: &Path) -> Result<Option<String>, OpenError> {
    let Ok(found) = rustix::fs::statfs(folder) else {
        // What cannot be asked is not refused: opening will tell.
        return Ok(None);
    };
    judge(path, kind(&found))
}

/// The kind of a file system. The field's type differs between platforms, and its upper half may be sign extension.
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "see above")]
fn kind(found: &StatFs) -> u64 {
    found.f_type as u64 & 0xffff_ffff
}

fn judge(path: &Path, kind: u64) -> Result<Option<String>, OpenError> {
    let named = |known: &[(u64, &'static str)]| {
        let mut known = known.iter();
        known.find_map(|&(known, name)| (known == kind).then_some(name))
    };
    if let Some(file_system) = named(&NETWORKS) {
        return Err(OpenError::NetworkFileSystem {
            path: path.to_owned(),
            file_system,
        });
    }
    Ok(named(&UNCERTAIN).map(|name| {
        format!(
            "the register {} is on {name}, which may lead to another machine: there neither locks nor syncs are \
             certain to hold, so unless it is a disk of this one, choose a local disk with --store sqlite:PATH",
            path.display()
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_refused_and_what_may_be_one_is_warned_of() {
        let path = Path::new("/mnt/register.db");
        for (kind, name) in NETWORKS {
            let refused = judge(path, kind).unwrap_err().to_string();
            assert!(refused.contains(&format!("it is on {name},")), "{refused}");
        }
        for (kind, name) in UNCERTAIN {
            let warned = judge(path, kind).unwrap().unwrap();
            assert!(
                warned.contains(&format!("/mnt/register.db is on {name},")),
                "{warned}"
            );
        }
        for kind in PARTED {
            assert_eq!(judge(path, kind).unwrap(), None, "{kind:x}");
        }
    }
}
