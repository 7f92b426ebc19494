//! A file that is changed after it was checked is not passed off as what was checked.

use std::{fs, io::Write as _, path::Path};

use super::{MORE_THAN_FITS, Stalled, command_said, has_each_once, in_shell, told, weighed};
use crate::{
    cli::{file, stored},
    support::{Server, folder, run},
};

/// Creates a file that `change` changes midway; what is stored by then is told, and that it was changed.
fn changed_by(change: impl FnOnce(&Path)) {
    let home = folder();
    let server = Server::start(home.path());
    let path = file(home.path(), "in.ndjson", weighed(MORE_THAN_FITS));
    let stalled = Stalled::start(&mut server.ask(home.path(), &["create", &path]));
    change(Path::new(&path));
    let (ran, printed) = stalled.read_on();
    let ran = ran.exits(1).says(&[&path, "was changed"]);
    assert_eq!(told(&ran), (printed.len(), MORE_THAN_FITS));
    assert_eq!(stored(&server, home.path()), printed);
    assert!(printed.len() < MORE_THAN_FITS);
    // Whoever puts it right can go on.
    fs::write(&path, weighed(MORE_THAN_FITS)).unwrap();
    run(&mut in_shell(home.path(), &command_said(&ran))).exits(0);
    has_each_once(&server, home.path(), MORE_THAN_FITS);
}

#[test]
fn a_file_that_grows_midway_is_noticed() {
    changed_by(|path| {
        let mut file = fs::File::options().append(true).open(path).unwrap();
        file.write_all(b"{}\n").unwrap();
    });
}

#[test]
fn a_file_that_is_written_anew_midway_is_noticed() {
    changed_by(|path| {
        let contents = fs::read_to_string(path).unwrap();
        let before = fs::metadata(path).unwrap();
        fs::write(path, contents.replace("\"weight\":2", "\"weight\":1")).unwrap();
        // As long as before, and as old to look at.
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        let after = fs::metadata(path).unwrap();
        assert_eq!(after.len(), before.len());
        assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    });
}

#[test]
fn a_file_that_is_cut_midway_is_noticed() {
    changed_by(|path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    });
}
