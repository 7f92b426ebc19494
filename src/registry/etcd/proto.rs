//! etcd's messages and clients, generated from `proto/etcd.proto`.

#![allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "generated code; its contract is etcd's"
)]

include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
