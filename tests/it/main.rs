//! What the whole of shippy does, tested from outside.

mod fsync;
mod kill;
mod mdns;
mod serve;
mod store;
mod store_files;
mod support;
mod wrapped;
