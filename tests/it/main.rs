//! What the whole of shippy does, tested from outside.

mod cli;
mod contract;
mod mdns;
mod serve;
mod support;
