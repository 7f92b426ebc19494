//! What the whole of shippy does, tested from outside.

mod cli;
mod contract;
mod fsync;
mod image;
mod kill;
mod lifecycle;
mod mdns;
mod mounts;
mod network;
mod running;
mod serve;
mod stock_client;
mod store;
mod store_files;
mod support;
mod wrapped;
