//! Peers that ask for small things and read none of the answers.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use shippy::proto::Consignment;

use super::attacker::connect;
use crate::support::{
    SOON, Server,
    answer::get,
    folder,
    http2::{
        DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, header, path, request,
    },
};

/// As many as one connection may have under way.
const STREAMS: u32 = 256;
/// As many as take the places of each sort, and more.
const CONNECTIONS: usize = 5;

/// What it asks for, on the stream of the given number.
type Ask = fn(u32) -> Vec<u8>;

fn page(stream: u32, path: &str) -> Vec<u8> {
    let headers = [
        header(":method", "GET"),
        header(":scheme", "http"),
        header(":authority", "localhost"),
        header(":path", path),
    ];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers.concat())
}

fn call(stream: u32, path: &str) -> Vec<u8> {
    let headers = frame(HEADERS, END_HEADERS, stream, &request(path));
    [headers, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
}

/// A connection that has asked as often as it may, has been told of all answers that they begin, and takes nothing of
/// what comes then; or one that was closed.
fn ask(server: &Server, number: usize, ask: Ask) -> TcpStream {
    let no_window = [0, 4, 0, 0, 0, 0];
    let mut stream = connect(server.address, number).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut said = [PREFACE, &frame(SETTINGS, 0, 0, &no_window)].concat();
    for number in 0..STREAMS {
        said.extend(ask(2 * number + 1));
    }
    let _ = stream.write_all(&said);
    let mut begun = 0;
    let mut head = [0; 9];
    while begun < STREAMS && stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut payload).is_err() {
            break;
        }
        begun += u32::from(head[3] == HEADERS);
    }
    stream
}

#[tokio::test]
async fn those_who_do_not_read_small_answers_keep_nobody_out() {
    let asks: [(&str, Ask); 5] = [
        ("board", |stream| page(stream, "/board/board.css")),
        ("description", |stream| page(stream, "/v1/openapi.json")),
        ("nothing", |stream| page(stream, "/nowhere")),
        ("health", |stream| {
            call(stream, "/grpc.health.v1.Health/Check")
        }),
        ("create", |stream| call(stream, &path("CreateConsignment"))),
    ];
    for (name, unread) in asks {
        let home = folder();
        let server = Server::start_with(home.path(), |command| {
            command.args(["--max-requests", "64"]);
        });
        let mut client = server.connect().await;
        let held: Vec<_> = (0..CONNECTIONS)
            .map(|number| ask(&server, number, unread))
            .collect();
        for path in ["/healthz", "/v1/openapi.json"] {
            get(server.address, path, &[]).is(200);
        }
        let created = client.create_consignment(Consignment::default()).await;
        assert!(created.is_ok(), "{name}: {created:?}");
        // Only so many stand unread: the connections that held the first have been closed.
        let metrics = get(server.address, "/metrics", &[]).is(200).body;
        assert!(
            !metrics.contains("shippy_connections_closed_total{reason=\"stalled\"} 0"),
            "{name}: {metrics}"
        );
        drop(held);
    }
}
