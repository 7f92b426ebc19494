//! `shippy create` with what cannot be stored: a clear message, exit code 2, and nothing is stored.

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use super::{file, stored};
use crate::{
    running::Running,
    support::{Server, folder, run, unconfigured},
};

/// A user who owns nothing here.
const NOBODY: u32 = 65_534;

/// A thousand records of which the 500th is bad, each on a line of its own.
fn bad_in_the_middle(begin: &str, separator: &str, end: &str) -> String {
    let record = |number| {
        let weight = if number == 500 { -1 } else { number };
        format!(r#"{{"id":"tea-{number}","weight":{weight}}}"#)
    };
    let records: Vec<_> = (1..=1_000).map(record).collect();
    format!("{begin}{}{end}\n", records.join(separator))
}

/// What a file may hold, and what is then said.
fn bad() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let with_id = |rest: &str| format!(r#"{{"id":"tea-1",{rest}}}"#).into_bytes();
    vec![
        ("empty", Vec::new(), vec!["is empty", "looks like this"]),
        ("blank", b" \n\n".to_vec(), vec!["is empty"]),
        (
            "array-of-none",
            b"[]".to_vec(),
            vec!["holds no consignments"],
        ),
        (
            "truncated",
            br#"{"id":"tea-1","#.to_vec(),
            vec![":1:", "is it complete?"],
        ),
        (
            "truncated-array",
            br#"[{"id":"tea-1"},{"id":"tea-2"}"#.to_vec(),
            vec!["is it complete?"],
        ),
        (
            "deep-type",
            with_id(r#""containers":[{},{"origin":5}]"#),
            vec![":1:", "containers[1].origin"],
        ),
        (
            "list-for-object",
            with_id(r#""containers":{}"#),
            vec!["containers"],
        ),
        (
            "unknown-key",
            with_id(r#""wieght":5"#),
            vec!["wieght", "weight"],
        ),
        ("twice", with_id(r#""id":"tea-2""#), vec!["id"]),
        (
            "too-large",
            with_id(r#""weight":2147483648"#),
            vec!["weight", "2147483648"],
        ),
        ("fraction", with_id(r#""weight":1.5"#), vec!["weight"]),
        (
            "negative",
            with_id(r#""weight":-1"#),
            vec!["weight", "below 0"],
        ),
        (
            "bad-id",
            br#"{"id":"a b"}"#.to_vec(),
            vec!["id", "only A-Z"],
        ),
        (
            "latin-1",
            b"{\"description\":\"Caf\xe9\"}".to_vec(),
            vec!["UTF-8"],
        ),
        ("number", b"42".to_vec(), vec!["expected a consignment"]),
        (
            "text",
            b"hello world".to_vec(),
            vec!["expected a consignment"],
        ),
        (
            "csv",
            b"sequence,created_at,id\n1,2026-11-22T14:03:05Z,tea-1\n".to_vec(),
            vec![":1:1:", "looks like CSV", "NDJSON"],
        ),
        ("binary", vec![0, 159, 146, 150], vec!["UTF-"]),
        (
            "record-500",
            bad_in_the_middle("", "\n", "").into(),
            vec![":500:", "record 500, weight", "below 0"],
        ),
        (
            "element-500",
            bad_in_the_middle("[", ",\n", "]").into(),
            vec![":500:", "[499].weight", "below 0"],
        ),
    ]
}

#[test]
fn a_bad_file_is_refused_with_its_place_and_nothing_of_it_is_stored() {
    let home = folder();
    let server = Server::start(home.path());
    for (name, contents, said) in bad() {
        let path = file(home.path(), name, contents);
        let ran = run(&mut server.ask(home.path(), &["create", &path]))
            .exits(2)
            .says(&said);
        let ran = ran.says(&[&path]);
        assert_eq!(ran.stdout, "", "{ran:#?}");
        assert!(ran.stderr.starts_with("shippy: "), "{ran:#?}");
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn what_is_bad_on_standard_input_is_refused_in_its_name() {
    let home = folder();
    let server = Server::start(home.path());
    for (_, contents, said) in bad() {
        let input = std::fs::File::open(file(home.path(), "input", contents)).unwrap();
        let mut command = server.ask(home.path(), &["create", "-"]);
        let ran = run(command.stdin(Stdio::from(input))).exits(2).says(&said);
        ran.says(&["<stdin>"]);
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn what_is_no_file_is_refused_with_what_to_do() {
    let home = folder();
    let path = |name| home.path().join(name).to_str().unwrap().to_owned();
    let server = Server::start(home.path());
    for (path, said) in [
        (path("nowhere.json"), "there is no such file"),
        (path("nowhere/at/all.json"), "there is no such file"),
        (
            home.path().to_str().unwrap().to_owned(),
            "it is a directory",
        ),
        (String::new(), "there is no such file"),
    ] {
        run(&mut server.ask(home.path(), &["create", &path]))
            .exits(2)
            .says(&[said, &path]);
    }
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn a_file_that_may_not_be_read_is_refused_as_that() {
    let home = folder();
    let path = file(home.path(), "secret.json", "{}");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(Path::new(&path), 0o000);
    let server = Server::start(home.path());
    let mut command = server.ask(home.path(), &["create", &path]);
    if geteuid().is_root() {
        // To root every file is readable, so this is tried as somebody else, who must reach the program.
        let program = home.path().join("shippy");
        // By another process: this one would hand its descriptor to the children of other tests, and a program that is
        // open for writing cannot be run.
        run(Command::new("cp").arg(command.get_program()).arg(&program)).exits(0);
        mode(home.path(), 0o755);
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new(program);
        unconfigured(&mut command, home.path());
        command.args(arguments).uid(NOBODY).gid(NOBODY);
    }
    run(&mut command)
        .exits(2)
        .says(&["permission denied", "secret.json"]);
    assert!(stored(&server, home.path()).is_empty());
}

#[test]
fn bad_input_is_told_even_where_no_server_is() {
    let home = folder();
    let path = file(home.path(), "bad.json", r#"{"weight":-1}"#);
    let mut command = crate::support::shippy(home.path());
    let name = crate::support::own_name();
    // Looking for a server would take the whole of this.
    command.args(["create", &path, "--name", &name, "--timeout", "10m"]);
    let ran = Running::start(&mut command).end().exits(2);
    ran.says(&["weight"]);
}
