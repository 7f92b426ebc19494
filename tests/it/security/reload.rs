//! Files that are replaced while they are used.

use std::fs;

use super::{Authority, list, serve, token};
use crate::{
    cli::file,
    running::{Printing, run_to_end},
    support::{Server, eventually, folder, run, shippy},
};

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

    const KEPT: &str = "what was there before still counts";
    // Only half of what belongs together, then nothing that makes sense.
    says_anew(&server, KEPT, || {
        fs::copy(&next.key, &pair.key).unwrap();
    });
    assert!(
        server.logged().contains("made together"),
        "{}",
        server.logged()
    );
    trusting(&old).exits(0);
    says_anew(&server, KEPT, || {
        fs::write(&pair.certificate, "nothing").unwrap()
    });
    trusting(&old).exits(0);
    says_anew(&server, "TLS: loaded again", || {
        // As one that replaces files does it.
        let beside = file(home.path(), "beside", fs::read(&next.certificate).unwrap());
        fs::rename(beside, &pair.certificate).unwrap();
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
        fs::copy(&other.file, &clients).unwrap();
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
        fs::write(&tokens, &second).unwrap()
    });
    list(&one).exits(4);
    list(&two).exits(0);
    says_anew(&server, "what was there before still counts", || {
        fs::write(&tokens, format!("{second}\ncrane admin")).unwrap();
    });
    assert!(server.logged().contains("line 2"), "{}", server.logged());
    list(&one).exits(4);
    list(&two).exits(0);
    says_anew(&server, "what was there before still counts", || {
        fs::remove_file(&tokens).unwrap();
    });
    list(&two).exits(0);
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
