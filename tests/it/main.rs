//! What the whole of shippy does, tested from outside.

mod cli;
mod contract;
mod lifecycle;
mod mdns;
mod running;
mod serve;
mod support;
