//! {no TLS, TLS, mTLS} × {no token, wrong token, read token, write token} × {create, list, follow, bulk}.

use std::{path::Path, sync::Arc, time::Duration};

use shippy::{
    backend,
    client::{Client, ClientError, Options, tls::Tls},
    proto::Consignment,
    registry::access::Secret,
};
use tonic::Code;

use super::{Authority, Pair, serve, token};
use crate::{
    cli::file,
    running::{Printing, run_to_end},
    support::{Ran, Server, folder, run},
};

/// How a server and its client speak.
struct Way {
    name: &'static str,
    server: Vec<String>,
    authority: Option<String>,
    certificate: Option<Pair>,
    /// Without a token.
    anonymous: Outcome,
}

/// What one may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Nothing,
    List,
    Everything,
}

/// A client of `server`, with `token`.
struct Caller<'t> {
    server: &'t Server,
    home: &'t Path,
    way: &'t Way,
    token: Option<&'t str>,
}

impl Caller<'_> {
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.server.ask(self.home, args);
        if let Some(authority) = &self.way.authority {
            command.args(["--tls-ca", authority]);
        }
        if let Some(pair) = &self.way.certificate {
            command.args(pair.args());
        }
        command.envs(self.token.map(|token| ("SHIPPY_TOKEN", token)));
        command
    }

    /// One consignment by a call of its own.
    async fn create(&self) -> Option<Code> {
        let identity = self.way.certificate.as_ref();
        let identity = identity.map(|pair| (Path::new(&pair.certificate), Path::new(&pair.key)));
        let tls = self.way.authority.as_ref().map(|authority| {
            Tls::load(Path::new(authority), identity, "shippy".try_into().unwrap()).unwrap()
        });
        let options = Options {
            name: "table".into(),
            register: None,
            timeout: Duration::from_secs(20),
            tls,
            token: self.token.map(|token| Secret::new(token.to_owned())),
            is_named: true,
        };
        // Neither goes where it could be read.
        let shown = format!("{options:?}");
        assert!(
            !shown.contains("shippy_") && !shown.contains("key"),
            "{shown}"
        );
        let registry = backend::fixed(vec![self.server.address.to_string()]);
        let consignment = Consignment {
            id: uuid::Uuid::now_v7().to_string(),
            ..Consignment::default()
        };
        match Client::new(Arc::clone(&registry), options)
            .create(&consignment)
            .await
        {
            Ok(reply) => {
                assert!(reply.created);
                None
            }
            Err(ClientError::Refused(status)) => Some(status.code()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Checks that `outcome` is what it may do; those who may not are refused with `code`, in words with `said`.
    async fn may(&self, outcome: Outcome, code: Code, said: &str) {
        let place = format!("{}, {:?}", self.way.name, self.token);
        let writes = outcome == Outcome::Everything;
        let created = self.create().await;
        assert_eq!(created, (!writes).then_some(code), "{place}");
        let two = file(self.home, "two.ndjson", "{}\n{}\n");
        let ran = run_to_end(&mut self.command(&["create", &two]));
        assert_eq!(
            ran.stdout.lines().count(),
            if writes { 2 } else { 0 },
            "{place}"
        );
        ends(ran, writes, said);
        let reads = outcome != Outcome::Nothing;
        let ran = run_to_end(&mut self.command(&["list", "-o", "ndjson"]));
        assert_eq!(!ran.stdout.is_empty(), reads, "{place}: {ran:#?}");
        ends(ran, reads, said);
        let mut follow = self.command(&["list", "--follow", "-o", "ndjson"]);
        if reads {
            let following = Printing::start(&mut follow);
            following.await_lines(1);
            following.interrupt();
        } else {
            ends(run_to_end(&mut follow), false, said);
        }
    }
}

#[track_caller]
fn ends(ran: Ran, is_done: bool, said: &str) {
    if is_done {
        ran.exits(0);
    } else {
        let ran = ran.exits(4).says(&[said]);
        // It is no use to go on.
        assert!(!ran.stderr.contains("--resume"), "{ran:#?}");
    }
}

fn ways(home: &Path, tokens: &str) -> [Way; 3] {
    let authority = Authority::new(home, "ca");
    let pair = authority.server(home, "shippy");
    let guarded = |args: &[&str]| {
        let args = [&["--tokens", tokens], args].concat();
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let certified = [&pair.args()[..], &["--tls-client-ca", &authority.file]].concat();
    [
        Way {
            name: "no TLS",
            server: guarded(&[]),
            authority: None,
            certificate: None,
            anonymous: Outcome::Nothing,
        },
        Way {
            name: "TLS",
            server: guarded(&pair.args()),
            authority: Some(authority.file.clone()),
            certificate: None,
            anonymous: Outcome::Nothing,
        },
        Way {
            name: "mTLS",
            server: guarded(&certified),
            authority: Some(authority.file.clone()),
            certificate: Some(authority.client(home, "desk")),
            anonymous: Outcome::List,
        },
    ]
}

#[tokio::test]
async fn everybody_may_do_what_their_scope_says_and_no_more() {
    let home = folder();
    let (reads, read_line) = token(home.path(), "desk", "read");
    let (writes, write_line) = token(home.path(), "crane", "write");
    let lines = format!("{read_line}\n{write_line}\n");
    let tokens = file(home.path(), "tokens", lines);
    for way in ways(home.path(), &tokens) {
        let server_home = folder();
        let args: Vec<_> = way.server.iter().map(String::as_str).collect();
        let server = serve(server_home.path(), &args);
        let caller = |token| Caller {
            server: &server,
            home: home.path(),
            way: &way,
            token,
        };
        let desk = (Code::PermissionDenied, "desk may list and not create");
        let nobody = (Code::Unauthenticated, "asks for a token");
        // First, so that there is something to list.
        let everything = Outcome::Everything;
        caller(Some(&writes)).may(everything, Code::Ok, "").await;
        caller(Some(&reads))
            .may(Outcome::List, desk.0, desk.1)
            .await;
        let wrong = caller(Some("shippy_wrong"));
        let unknown = "does not know the token";
        wrong
            .may(Outcome::Nothing, Code::Unauthenticated, unknown)
            .await;
        let (code, said) = match way.anonymous {
            Outcome::List => desk,
            _ => nobody,
        };
        caller(None).may(way.anonymous, code, said).await;
        let log = server.logged();
        for secret in [&reads, &writes, "shippy_wrong"] {
            assert!(!log.contains(secret), "{log}");
        }
        for said in [
            "desk may not write",
            "turned 127.0.0.1:",
            "it sent a token that is nobody's",
        ] {
            assert!(log.contains(said), "no {said:?} in {log}");
        }
        run(&mut caller(None).command(&["health"])).exits(0);
    }
}

#[test]
fn a_certificate_that_the_tokens_do_not_name_may_nothing() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let tokens = file(home.path(), "tokens", "crane write\n");
    let certified = ["--tls-client-ca", &authority.file, "--tokens", &tokens];
    let server = serve(home.path(), &[&pair.args()[..], &certified].concat());
    let list = |name: &str| {
        let client = authority.client(home.path(), name);
        let mut command = super::list(&server, home.path(), &["--tls-ca", &authority.file]);
        run_to_end(command.args(client.args()))
    };
    list("crane").exits(0);
    list("stranger")
        .exits(4)
        .says(&["stranger", "--tokens file does not name"]);
}
