//! shippy keeps a register of shipping consignments: the server, the client and everything between, as a library
//! that the `shippy` command is a thin layer over.

pub mod address;
pub mod backend;
pub mod causes;
pub mod cli;
pub mod client;
pub mod codes;
pub mod consignment;
pub mod escape;
pub mod formats;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod machine;
pub mod metrics;
pub mod proto;
pub mod registry;
pub mod server;
pub mod service;
pub mod store;
pub mod tls;
pub mod tokens;
pub mod traces;
pub mod web;
