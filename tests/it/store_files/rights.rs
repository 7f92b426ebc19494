//! What the system lets a server do with a register's files, and what they let others do.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};

use super::{contents, foreseen, make_register, serve};
use crate::{
    running::run_to_end,
    support::{Server, executable, folder, run},
    wrapped::wrapped,
};

/// Serves as a user whom permissions bind, which they do not root.
fn refused_without_rights(home: &Path, texts: &[&str]) {
    let program = home.join("shippy");
    let before = contents(home);
    let mut command = serve(home, &home.join("kept/register.db"));
    if rustix::process::geteuid().is_root() {
        // Nobody may not enter the folders that the built program is in.
        let mut nobody = Command::new(&program);
        nobody.args(command.get_args()).uid(65_534).gid(65_534);
        nobody.env_clear();
        command = nobody;
    }
    let ran = run_to_end(&mut command).exits(1).says(texts);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    foreseen(&mut command, texts);
    assert!(contents(home) == before);
}

/// A home that everybody may enter, the program in it, and a register in `kept`.
fn open_home() -> tempfile::TempDir {
    let home = folder();
    set_mode(home.path(), 0o755);
    let program = home.path().join("shippy");
    // By a process of its own: what this one opens to write stays open, for a moment, in processes that other tests
    // begin, and a program that is open to be written cannot be run.
    let mut copy = Command::new("cp");
    run(copy.arg(executable()).arg(program)).exits(0);
    make_register_in(&home.path().join("kept"));
    home
}

fn make_register_in(folder: &Path) {
    fs::create_dir(folder).unwrap();
    make_register(&folder.join("register.db"));
    set_mode(&folder.join("register.db.lock"), 0o666);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The rights of the files of the register in `home`, by their names.
fn modes(home: &Path) -> BTreeMap<String, u32> {
    let entries = fs::read_dir(home).unwrap().map(Result::unwrap);
    let modes = entries.map(|entry| {
        let mode = entry.metadata().unwrap().permissions().mode();
        (entry.file_name().into_string().unwrap(), mode & 0o777)
    });
    modes
        .filter(|(name, _)| name.starts_with("register.db"))
        .collect()
}

#[test]
fn a_registers_files_are_its_users_alone_whatever_the_umask_until_somebody_says_otherwise() {
    for umask in ["000", "022"] {
        let home = folder();
        let path = home.path().join("register.db");
        let start = || {
            let sh = ["sh", "-c", "umask $0 && exec \"$@\"", umask];
            let server = Server::spawn(wrapped(&sh, &serve(home.path(), &path)), home.path());
            run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
            server
        };
        for mode in [0o600, 0o640] {
            let server = start();
            let modes = modes(home.path());
            for end in ["", "-wal", "-shm"] {
                let name = format!("register.db{end}");
                assert_eq!(modes.get(&name), Some(&mode), "{umask}: {modes:?}");
            }
            assert_eq!(
                modes.get("register.db.lock"),
                Some(&0o600),
                "{umask}: {modes:?}"
            );
            assert!(server.stop().success());
            set_mode(&path, 0o640);
        }
    }
}

#[test]
fn a_file_that_may_not_be_written_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    set_mode(&kept, 0o777);
    set_mode(&kept.join("register.db"), 0o444);
    let before = contents(&kept);
    refused_without_rights(home.path(), &["could not write", "make it writable"]);
    assert!(contents(&kept) == before);
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    set_mode(&kept.join("register.db"), 0o000);
    refused_without_rights(home.path(), &["Permission denied", "make it writable"]);
}

#[test]
fn a_folder_that_may_not_be_written_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    fs::remove_file(kept.join("register.db.lock")).unwrap();
    set_mode(&kept.join("register.db"), 0o666);
    set_mode(&kept, 0o555);
    let before = contents(&kept);
    refused_without_rights(home.path(), &["could not", "--store sqlite:PATH"]);
    assert!(contents(&kept) == before);
}

#[test]
fn a_folder_in_which_no_register_can_be_made_is_refused() {
    let home = open_home();
    let kept = home.path().join("kept");
    for file in ["register.db", "register.db.lock"] {
        fs::remove_file(kept.join(file)).unwrap();
    }
    set_mode(&kept, 0o555);
    refused_without_rights(home.path(), &["could not", "--store sqlite:PATH"]);
    assert!(contents(&kept).is_empty());
}
