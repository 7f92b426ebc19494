//! What one server takes on at once. Nothing here is left to a library's default: tonic's and hyper's are made for
//! trusted peers, and some of them are "no limit".

use std::time::Duration;

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};

/// Connections at once. Most systems let a process open 1,024 files unless told otherwise, and the store needs a
/// few; further connections wait in the listener's backlog.
pub(super) const CONNECTIONS: usize = 960;
/// The same on the address for probes, each of which is one short call.
pub(super) const PROBES: usize = 16;
/// Connections that the system holds ready while none can be accepted.
pub(super) const BACKLOG: i32 = 1_024;
/// Requests at work at once, over all connections, each with a message of up to [`MESSAGE_BYTES`]. A commit serves
/// some hundreds at once; past this the server answers that it has too much to do.
pub(super) const REQUESTS: usize = 1_024;
/// Bulk loads at once. Each may have sent [`STREAM_WINDOW`] that is not looked at yet.
pub(super) const LOADS: usize = 64;
/// Lists being read at once. One that is not read on holds a chunk and [`SEND_BUFFER`].
pub(super) const LISTS: usize = 256;
/// Replies to `GetConsignments` being read at once. One that is not read on holds all of its up to 4 MiB, several times
/// over while it is made.
pub(super) const WHOLE_REPLIES: usize = 4;
/// Largest piece of a reply that is handed over at once, in bytes: a chunk of a list, mostly.
pub(super) const REPLY_PIECE: usize = 64 * 1024;
/// Largest message that is read, in bytes: twice the largest consignment, so that one that is somewhat too large is
/// answered with what is wrong with it.
pub(super) const MESSAGE_BYTES: usize = 512 * 1024;
/// How long one request may take, for a stream until it begins: far more than a commit takes on a slow disk.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer may take to agree on TLS, where the server speaks it, and to say that it speaks HTTP/2, which clients do
/// with their first packets.
pub(super) const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a drain may take in all: under the 10 s after which Docker kills.
pub(super) const DRAIN_GRACE: Duration = Duration::from_secs(8);
/// How long closing the store may take after that. What it does then is tidying up, which the next start can do.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(1_200);
/// How long to wait before accepting again when the system would not, as when it is out of file descriptors.
pub(super) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Streams at once on one connection: a client with more in flight gains nothing, as they share the writer.
const STREAMS: u32 = 256;
/// Streams that a peer may reset before they were answered, or make us reset: more is the "rapid reset" flood
/// (CVE-2023-44487), and the connection is closed. hyper's defaults, pinned because "none" means no limit.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 1_024;
/// Size of one request's headers in bytes: gRPC's are a few hundred, a token or a trace included.
const HEADER_BYTES: u32 = 16 * 1024;
/// How often a silent peer is pinged, and how long it may take to answer: a peer that is gone, or that a cut separates
/// from us, is let go within 40 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a peer may send before it is read, in bytes, for one stream and for the connection. Smaller windows would
/// slow a bulk load down and let a lagging peer run into HTTP/2's budget for small frames.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What is buffered for a peer that reads slowly, in bytes for each stream; past it the stream waits.
const SEND_BUFFER: usize = 128 * 1024;

/// Serves connections under these limits.
pub(super) fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}
