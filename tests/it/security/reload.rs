//! Files that are replaced while they are used.

use std::{fs, path::Path};

use rcgen::date_time_ymd;

use super::{Authority, list, serve, token};
use crate::{
    cli::file,
    running::{Printing, run_to_end},
    support::{Server, eventually, folder, run, shippy},
};

/// What is said of a file that cannot be used.
const KEPT: &str = "what was there before still counts";

/// Puts `contents` in place of the file at `path` in one step, so that nobody sees a half of them.
fn replace(path: &str, contents: impl AsRef<[u8]>) {
    let beside = file(Path::new(path).parent().unwrap(), "beside", contents);
    fs::rename(beside, path).unwrap();
}

/// Waits until the server has said `text` in its log once more than before.
fn says_anew(server: &Server, text: &str, act: impl FnOnce()) {
    let count = || server.logged().matches(text).count();
    let before = count();
    act();
    eventually(text, || (count() > before).then_some(()));
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() {
    let (home, next_home) = (folder(), folder());
    let old = Authority::new(home.path(), "ca");
    let new = Authority::new(next_home.path(), "new-ca");
    let pair = old.server(home.path(), "shippy");
    let next = new.server(next_home.path(), "shippy");
    let server = serve(home.path(), &pair.args());
    let trusting = |authority: &Authority| {
        run_to_end(&mut list(
            &server,
            home.path(),
            &["--tls-ca", &authority.file],
        ))
    };
    trusting(&old).exits(0);
    let mut following = server.ask(home.path(), &["list", "--follow", "-o", "ndjson"]);
    let mut following = Printing::start(following.args(["--tls-ca", &old.file]));
    // Only half of what belongs together, then nothing that makes sense.
    says_anew(&server, KEPT, || {
        replace(&pair.key, fs::read(&next.key).unwrap());
    });
    assert!(
        server.logged().contains("made together"),
        "{}",
        server.logged()
    );
    trusting(&old).exits(0);
    says_anew(&server, KEPT, || {
        replace(&pair.certificate, "nothing");
    });
    trusting(&old).exits(0);
    says_anew(&server, "TLS: loaded again", || {
        replace(&pair.certificate, fs::read(&next.certificate).unwrap());
    });
    trusting(&new).exits(0);
    trusting(&old)
        .exits(1)
        .says(&["does not come from the authority"]);
    // What is under way goes on.
    let mut create = server.ask(home.path(), &["create", "consignment.json"]);
    run(create.args(["--tls-ca", &new.file])).exits(0);
    following.await_lines(1);
    assert!(following.is_under_way());
    following.interrupt();
}

#[test]
fn those_whom_the_new_authority_does_not_vouch_for_are_turned_away() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let other = Authority::new(home.path(), "other");
    let clients = file(
        home.path(),
        "clients.pem",
        fs::read(&authority.file).unwrap(),
    );
    let crane = authority.client(home.path(), "crane");
    let pair = authority.server(home.path(), "shippy");
    let args = [&pair.args()[..], &["--tls-client-ca", &clients]].concat();
    let server = serve(home.path(), &args);
    let trusting = ["--tls-ca", &authority.file];
    let list = || run_to_end(list(&server, home.path(), &trusting).args(crane.args()));
    list().exits(0);
    says_anew(&server, "TLS: loaded again", || {
        replace(&clients, fs::read(&other.file).unwrap());
    });
    list().exits(4);
}

#[test]
fn tokens_are_added_and_taken_back_without_a_restart() {
    let home = folder();
    let (one, first) = token(home.path(), "crane", "read");
    let (two, second) = token(home.path(), "desk", "read");
    let tokens = file(home.path(), "tokens", &first);
    let server = serve(home.path(), &["--tokens", &tokens]);
    let list = |token: &str| run(list(&server, home.path(), &[]).env("SHIPPY_TOKEN", token));
    list(&one).exits(0);
    list(&two).exits(4);
    says_anew(&server, "tokens: loaded again", || {
        replace(&tokens, &second);
    });
    list(&one).exits(4);
    list(&two).exits(0);
    says_anew(&server, KEPT, || {
        replace(&tokens, format!("{second}\ncrane admin"));
    });
    assert!(server.logged().contains("line 2"), "{}", server.logged());
    list(&one).exits(4);
    list(&two).exits(0);
    says_anew(&server, KEPT, || {
        fs::remove_file(&tokens).unwrap();
    });
    list(&two).exits(0);
}

#[test]
fn what_is_under_way_ends_with_the_token_that_it_was_let_in_by() {
    let home = folder();
    let (crane, crane_line) = token(home.path(), "crane", "read");
    let (desk, desk_line) = token(home.path(), "desk", "write");
    let tokens = file(
        home.path(),
        "tokens",
        format!("{crane_line}\n{desk_line}\n"),
    );
    let server = serve(home.path(), &["--tokens", &tokens]);
    let mut create = server.ask(home.path(), &["create", "consignment.json"]);
    run(create.env("SHIPPY_TOKEN", &desk)).exits(0);
    let follow = |token: &str| {
        let mut command = list(&server, home.path(), &["--follow", "-o", "ndjson"]);
        let following = Printing::start(command.env("SHIPPY_TOKEN", token));
        following.await_lines(1);
        following
    };
    let (cranes, mut desks) = (follow(&crane), follow(&desk));
    replace(&tokens, &desk_line);
    let (ran, _) = cranes.end();
    ran.exits(4).says(&["does not know the token"]);
    assert!(desks.is_under_way());
    run(create.env("SHIPPY_TOKEN", &desk)).exits(0);
    desks.await_lines(2);
    desks.interrupt();
}

#[test]
fn a_tokens_file_that_cannot_be_used_keeps_a_server_from_starting() {
    let home = folder();
    let broken = file(home.path(), "tokens", "# depots\ncrane admin\n");
    let nowhere = home.path().join("nowhere").display().to_string();
    for (path, said) in [(&broken, "line 2"), (&nowhere, "No such file")] {
        let mut command = shippy(home.path());
        command.args(["serve", "--store", "memory:", "--tokens", path]);
        run_to_end(&mut command).exits(2).says(&[path, said]);
    }
}

#[test]
fn a_certificate_that_is_about_to_expire_is_told_of() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let dated = |name: &str, from: i32, until: i32| {
        authority.certify(home.path(), name, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
        })
    };
    let good = serve(home.path(), &dated("good", 2001, 4000).args());
    assert!(!good.logged().contains("expire"), "{}", good.logged());
    let pair = dated("old", 2001, 2002);
    let server = serve(home.path(), &pair.args());
    let said = format!("the certificate in {} expired", pair.certificate);
    assert!(server.logged().contains(&said), "{}", server.logged());
}
