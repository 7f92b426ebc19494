//! Handshakes that go wrong or nowhere.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use super::{Authority, list, serve};
use crate::support::{SOON, folder, run};

#[test]
fn those_who_begin_and_say_no_more_keep_nobody_waiting() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let server = serve(home.path(), &pair.args());
    // The beginning of a handshake, of which the rest never comes.
    let silent: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&[22, 3, 1, 1]).unwrap();
            stream
        })
        .collect();
    let trusting = ["--tls-ca", &authority.file];
    run(&mut list(&server, home.path(), &trusting)).exits(0);
    // Each is let go in the end.
    for mut stream in silent {
        stream.set_read_timeout(Some(2 * SOON)).unwrap();
        let ended = stream.read_to_end(&mut Vec::new());
        let is_late = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!ended.is_err_and(is_late));
    }
}

#[test]
fn who_is_turned_away_often_is_logged_seldom() {
    let home = folder();
    let authority = Authority::new(home.path(), "ca");
    let pair = authority.server(home.path(), "shippy");
    let server = serve(home.path(), &pair.args());
    let begun = Instant::now();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\n").unwrap();
        // The alert, and the end.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let lines = server.logged().matches("it does not speak TLS").count();
    // Ten in any ten seconds, and a slow machine may take some of those.
    let most = 10 * (begun.elapsed().as_secs() / 10 + 2);
    assert!(
        (1..=most).contains(&u64::try_from(lines).unwrap()),
        "{}",
        server.logged()
    );
    run(&mut list(
        &server,
        home.path(),
        &["--tls-ca", &authority.file],
    ))
    .exits(0);
}
