//! A stock gRPC client in another language, generated from the frozen part of the contract alone, is served as the Go
//! services served it.
//!
//! Run with `cargo test --test it -- --ignored stock_client`. `SHIPPY_TEST_PYTHON` names the Python that has `grpcio`,
//! `grpcio-tools` and `grpcio-reflection`; by default it is `python3`.

use std::{env, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{Server, folder, run};

const FROZEN: &str = include_str!("stock_client/frozen.proto");
const CLIENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/stock_client/client.py"
);
const REFLECTING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/stock_client/reflecting.py"
);
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/consignment.json");

#[test]
#[ignore = "needs python3 with grpcio and grpcio-tools"]
fn stock_client_is_served_under_the_first_name() {
    create_and_get("go.micro.srv.consignment");
}

#[test]
#[ignore = "needs python3 with grpcio and grpcio-tools"]
fn stock_client_is_served_under_the_later_name() {
    create_and_get("consignment");
}

#[test]
#[ignore = "needs python3 with grpcio, grpcio-tools and grpcio-reflection"]
fn stock_client_learns_the_contract_by_reflection() {
    let home = folder();
    let server = Server::start(home.path());
    let mut client = python();
    client.env("no_proxy", "*").arg(REFLECTING);
    let ran = run(client.arg(server.address.to_string())).exits(0);
    let answers: Value = serde_json::from_str(&ran.stdout).unwrap();
    let services = answers["services"].as_array().unwrap();
    let service = "go.micro.srv.consignment.ShippingService";
    assert!(services.contains(&json!(service)), "{answers:#}");
    // Called by what it was told alone.
    assert_eq!(answers["created"]["created"], json!(true), "{answers:#}");
    assert_eq!(answers["created"]["consignment"]["weight"], json!(550));
}

/// Creates a consignment, is refused another and gets all, with code generated for the service's name in `package`.
#[track_caller]
fn create_and_get(package: &str) {
    let home = folder();
    let server = Server::start(home.path());
    let answers = talk(&server, package, home.path());

    let created = &answers["created"];
    assert_eq!(created["created"], json!(true), "{answers:#}");
    let mut stored = created["consignment"].clone();
    let id = stored["id"].take();
    assert_eq!(id.as_str().map(str::len), Some(36), "{answers:#}");
    let container = json!({
        "id": "", "customer_id": "cust001", "user_id": "user001", "origin": "Manchester, United Kingdom",
    });
    let sent = json!({
        "id": null, "description": "This is a test consignment", "weight": 550,
        "containers": [container], "vessel_id": "vessel001",
    });
    assert_eq!(stored, sent, "{answers:#}");
    let all = json!([created["consignment"]]);
    assert_eq!(answers["got"]["consignments"], all, "{answers:#}");

    let refused = &answers["refused"];
    assert_eq!(refused["code"], json!("INVALID_ARGUMENT"), "{answers:#}");
    let details = refused["details"].as_str().unwrap_or_default();
    assert!(details.contains("weight"), "{answers:#}");
}

/// Everything that the client was answered.
#[track_caller]
fn talk(server: &Server, package: &str, folder: &Path) -> Value {
    generate(package, folder);
    let mut client = python();
    client
        .env("PYTHONPATH", folder)
        .env("no_proxy", "*")
        .arg(CLIENT);
    client.arg(server.address.to_string()).arg(SAMPLE);
    let ran = run(&mut client).exits(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Generates the client's code in `folder`.
#[track_caller]
fn generate(package: &str, folder: &Path) {
    let line = |package: &str| format!("\npackage {package};\n");
    let proto = FROZEN.replace(&line("go.micro.srv.consignment"), &line(package));
    assert!(proto.contains(&line(package)));
    fs::write(folder.join("frozen.proto"), proto).unwrap();
    let mut protoc = python();
    protoc.current_dir(folder).args(["-m", "grpc_tools.protoc"]);
    protoc.args(["-I.", "--python_out=.", "--grpc_python_out=."]);
    run(protoc.arg("frozen.proto")).exits(0);
}

fn python() -> Command {
    let python = env::var_os("SHIPPY_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
