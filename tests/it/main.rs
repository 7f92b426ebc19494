//! What the whole of shippy does, tested from outside.

mod cli;
mod compose;
mod contract;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
mod followed;
mod fsync;
mod history;
mod image;
mod index;
mod kill;
mod kubernetes;
mod lifecycle;
mod mdns;
mod mounts;
mod network;
mod postgres;
mod registry;
mod replicas;
mod running;
mod security;
mod serve;
mod stock_client;
mod store;
mod store_files;
mod support;
mod wrapped;
