//! What the whole of shippy does, tested from outside.

mod mdns;
mod network;
mod serve;
mod support;
