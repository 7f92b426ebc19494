//! What the whole of shippy does, tested from outside.

mod image;
mod mdns;
mod serve;
mod stock_client;
mod support;
