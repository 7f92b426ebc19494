//! What can be read only once is kept while it is checked.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use super::{has_each_once, weighed};
use crate::{
    cli::{file, stored},
    running::Running,
    support::{Server, folder, run},
    wrapped::wrapped,
};

/// More than all pipes and buffers hold.
const MANY: usize = 50_000;

#[test]
fn standard_input_of_any_length_is_checked_and_then_sent() {
    let home = folder();
    let server = Server::start(home.path());
    for (last, code) in [("{\"weight\":-1}\n", 2), ("", 0)] {
        let mut running = Running::start(&mut server.ask(home.path(), &["create", "-q", "-"]));
        let mut stdin = running.child.stdin.take().unwrap();
        let mut stdout = running.child.stdout.take().unwrap();
        let reading = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        stdin.write_all(weighed(MANY).as_bytes()).unwrap();
        // Nothing is sent as long as more may come.
        assert!(stored(&server, home.path()).is_empty());
        stdin.write_all(last.as_bytes()).unwrap();
        drop(stdin);
        reading.join().unwrap().unwrap();
        running.end().exits(code);
    }
    has_each_once(&server, home.path(), MANY);
}

#[test]
fn a_fifo_is_read_once_and_leaves_nothing_behind() {
    let home = folder();
    let server = Server::start(home.path());
    let (fifo, temporary) = (home.path().join("fifo"), home.path().join("tmp"));
    fs::create_dir(&temporary).unwrap();
    run(Command::new("mkfifo").arg(&fifo)).exits(0);
    let writing = {
        let fifo = fifo.clone();
        thread::spawn(move || fs::write(fifo, weighed(100)))
    };
    let mut command = server.ask(home.path(), &["create", fifo.to_str().unwrap()]);
    let ran = run(command.env("TMPDIR", &temporary)).exits(0);
    writing.join().unwrap().unwrap();
    assert_eq!(ran.stdout.lines().count(), 100);
    has_each_once(&server, home.path(), 100);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn a_folder_for_temporary_files_that_is_not_there_is_named_with_what_to_do() {
    let home = folder();
    let server = Server::start(home.path());
    let nowhere = home.path().join("nowhere");
    let path = file(home.path(), "in.ndjson", weighed(3));
    let mut command = server.ask(home.path(), &["create", "-"]);
    let input = fs::File::open(&path).unwrap();
    run(command.env("TMPDIR", &nowhere).stdin(Stdio::from(input)))
        .exits(2)
        .says(&[
            "could not keep <stdin>",
            nowhere.to_str().unwrap(),
            "set TMPDIR",
            "No such file",
        ]);
    // A file needs none.
    run(server
        .ask(home.path(), &["create", &path])
        .env("TMPDIR", &nowhere))
    .exits(0);
}

#[test]
#[ignore = "needs root and mount namespaces"]
fn a_folder_for_temporary_files_that_is_full_is_named_with_what_to_do() {
    let home = folder();
    let server = Server::start(home.path());
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let path = file(home.path(), "in.ndjson", weighed(MANY));
    let mut create = server.ask(home.path(), &["create", "-"]);
    create.env("TMPDIR", &disk);
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {} && exec \"$@\"",
        disk.display()
    );
    let mut command = wrapped(&["unshare", "-m", "sh", "-c", &script, "sh"], &create);
    let input = fs::File::open(&path).unwrap();
    run(command.stdin(Stdio::from(input))).exits(2).says(&[
        "could not keep <stdin>",
        disk.to_str().unwrap(),
        "No space left",
        "set TMPDIR",
    ]);
    assert!(stored(&server, home.path()).is_empty());
}
