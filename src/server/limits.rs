//! What one server takes on at once, by its settings and beside them. Nothing here is left to a library's default: tonic's and hyper's are made for
//! trusted peers, and some of them are "no limit".

use std::time::Duration;

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};

use super::opened::Spoken;
use crate::store::QUEUE_BYTES;

/// What one server takes on at once, as its settings say it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. Where they are all taken, the one that has asked for nothing for the longest gives its place
    /// up, so that those who only hold places keep nobody out. This many of those take less than 256 MiB with TLS (27 KiB
    /// each in a debug build), and more would gain nobody anything.
    pub connections: usize,
    /// The same of one peer's address, or of one IPv6 network of 64 bits. None by default: behind a published port of
    /// Docker or a load balancer all peers have one address.
    pub connections_per_peer: Option<usize>,
    /// Requests at work at once, over all connections, each with a message of up to `message_bytes`. A commit serves some
    /// hundreds at once; past this the server answers that it has too much to do. As many more may be coming in.
    pub requests: usize,
    /// Bulk loads at once. Each may have sent a mebibyte that is not looked at yet.
    pub loads: usize,
    /// Lists being read at once. One that is not read on holds a page of 192 KiB, or of up to 447 KiB with the largest
    /// consignments, with where each record is in it, and 128 KiB in HTTP/2's buffers; 32 of them hold three pages more.
    pub lists: usize,
    /// Streams at once on one connection: a client with more in flight gains nothing, as they share the writer.
    pub streams: u32,
    /// Largest message that is read, in bytes: twice the largest consignment, so that one that is somewhat too large is
    /// answered with what is wrong with it.
    pub message_bytes: usize,
    /// Size of one request's headers in bytes: gRPC's are a few hundred, a token or a trace included.
    pub header_bytes: u32,
    /// What may wait for the store's writer, in bytes: it bounds memory, and is several seconds of the fastest disk's
    /// work.
    pub queue_bytes: usize,
    /// How long a connection may ask for nothing. Clients connect again when they have something to ask; so this is long
    /// enough for those that ask every minute.
    pub idle_timeout: Duration,
    /// How long a peer may leave what it has asked for unread. A reader that pauses for longer goes on with a list of
    /// its own where it stopped, as shippy's does.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            connections_per_peer: None,
            requests: 1_024,
            loads: 64,
            lists: 256,
            streams: 256,
            message_bytes: 512 * 1024,
            header_bytes: 16 * 1024,
            queue_bytes: QUEUE_BYTES,
            idle_timeout: Duration::from_secs(300),
            stall_timeout: Duration::from_secs(60),
        }
    }
}

/// Connections at once on the address for probes, each of which is one short call.
pub(super) const PROBES: usize = 16;
/// Connections that the system holds ready while none can be accepted.
pub(super) const BACKLOG: i32 = 1_024;
/// Replies to `GetConsignments` being read at once. One that is not read on holds all of its up to 4 MiB, and up to
/// 20 MiB while it is made.
pub(super) const WHOLE_REPLIES: usize = 4;
/// Health checks at once, each of which is answered at once, and those who watch the server's health. They have places
/// of their own, as everybody may ask for that.
pub(super) const CHECKS: usize = 256;
pub(super) const WATCHES: usize = 64;
/// What is asked over HTTP alone, each soon answered from memory.
pub(super) const PAGES: usize = 256;
/// Small replies of one sort that may stand unread: the largest are what is measured, some dozens of KiB. Whoever reads
/// is among them for the moment of one write, so that it is never one of these that is ended.
pub(super) const UNREAD_REPLIES: usize = 256;
/// What messages on their way in take at once, in bytes, beside small ones: most are a few hundred bytes.
pub(super) const MESSAGES_BYTES: usize = 64 * 1024 * 1024;
/// How long a connection may take to end that was told so, with nothing under way.
pub(super) const LEAVE_GRACE: Duration = Duration::from_secs(1);
/// Largest piece of a reply that is handed over at once, in bytes: a chunk of a list, mostly, which ends with the record
/// that reaches 64 KiB.
pub(super) const REPLY_PIECE: usize = 72 * 1024;
/// How long one request may take, for a stream until it begins: far more than a commit takes on a slow disk.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a peer may take to agree on TLS, where the server speaks it, and to say which HTTP it speaks, which clients do
/// with their first packets.
pub(super) const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a drain may take in all: under the 10 s after which Docker kills.
pub(super) const DRAIN_GRACE: Duration = Duration::from_secs(8);
/// How long connections that are cut then may take to end, and the same again whoever counts them.
pub(super) const CUT_GRACE: Duration = Duration::from_millis(100);
/// How long closing the store may take after that. What it does then is tidying up, which the next start can do.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(1_200);
/// How long to wait before accepting again when the system would not, as when it is out of file descriptors.
pub(super) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How often it is told at most that it would not.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(10);

/// Streams that a peer may reset before they were answered, or make us reset: more is the "rapid reset" flood
/// (CVE-2023-44487), and the connection is closed. hyper's defaults, pinned because "none" means no limit.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 1_024;
/// How often a silent peer is pinged, and how long it may take to answer: a peer that is gone, or that a cut separates
/// from us, is let go within 40 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long what was sent may stay without an acknowledgement, whatever is spoken.
pub(super) const VANISHED: Duration = KEEPALIVE_INTERVAL.saturating_add(KEEPALIVE_TIMEOUT);
/// What a peer may send before it is read, in bytes, for one stream and for the connection. Smaller windows would
/// slow a bulk load down and let a lagging peer run into HTTP/2's budget for small frames.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What is buffered for a peer that reads slowly, in bytes for each stream; past it the stream waits.
const SEND_BUFFER: usize = 128 * 1024;

/// The least that is read of a peer that speaks HTTP/1 before it is looked at, in bytes: hyper does not go below.
const HTTP1_BUFFER: usize = 8 * 1024;
/// How long a peer that speaks HTTP/1 may take to send the headers of a request, and how long it may keep a connection that
/// it asks nothing on: with HTTP/2 the pings do that.
const HTTP1_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves connections under these limits.
pub(super) fn connection_builder(limits: &Limits, spoken: Spoken) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    match spoken {
        Spoken::Http1 => http1(builder.http1_only(), limits),
        Spoken::Http2 => http2(builder.http2_only(), limits),
    }
}

fn http1(
    mut builder: auto::Builder<TokioExecutor>,
    limits: &Limits,
) -> auto::Builder<TokioExecutor> {
    let buffer = usize::try_from(limits.header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP1_HEADER_TIMEOUT)
        .max_buf_size(buffer.max(HTTP1_BUFFER))
        // Who has said all that it wants to say may still hear the answer.
        .half_close(true);
    builder
}

fn http2(
    mut builder: auto::Builder<TokioExecutor>,
    limits: &Limits,
) -> auto::Builder<TokioExecutor> {
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(limits.header_bytes)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    builder
}
