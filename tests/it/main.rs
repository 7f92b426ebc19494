//! What the whole of shippy does, tested from outside.

mod fsync;
mod kill;
mod mdns;
mod mounts;
mod serve;
mod store;
mod store_files;
mod support;
mod wrapped;
