//! What the whole of shippy does, tested from outside.

mod alerts;
mod attacks;
mod backup;
mod board;
mod cli;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod clock;
mod compose;
mod contract;
mod discover;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
mod docs;
mod followed;
mod fsync;
mod history;
mod image;
mod index;
mod kill;
mod kubernetes;
mod lifecycle;
mod logs;
mod mdns;
mod mounts;
mod network;
mod postgres;
mod preflight;
mod registry;
mod replicas;
mod running;
mod security;
mod serve;
mod stock_client;
mod store;
mod store_files;
mod support;
mod systemd;
mod traces;
mod verify;
mod web;
mod wrapped;
