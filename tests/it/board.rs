//! The board, over HTTP and in a browser.

use std::path::Path;

use serde_json::Value;

use crate::{
    cli::file,
    support::{Server, run},
};

mod done;
mod live;
mod many;
mod parts;
mod session;
mod shown;
mod token;
mod vessels;

/// Has the command line create `consignments`.
fn create(server: &Server, home: &Path, consignments: &Value) {
    let path = file(home, "consignments.json", consignments.to_string());
    run(&mut server.ask(home, &["create", "--quiet", &path])).exits(0);
}

fn page(server: &Server) -> String {
    format!("http://{}/", server.address)
}
