//! `GET /v1/openapi.json`: what it says is so.

use std::{collections::BTreeSet, env, ffi::OsString, path::PathBuf, process::Command};

use serde_json::Value;

use super::{CONSIGNMENTS, JSON};
use crate::support::{
    Server,
    answer::{get, send},
    folder, run,
};

/// What it cannot say, for schemathesis: a module with hooks, and its settings.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/web/openapi");

fn document(server: &Server) -> Value {
    let answer = get(server.address, "/v1/openapi.json", &[]).is(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()
}

#[test]
fn each_path_and_method_in_it_is_there_and_no_other() {
    let home = folder();
    let server = Server::start(home.path());
    let document = document(&server);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let is_told = methods.get(method.to_lowercase()).is_some();
            let answer = send(server.address, method, path, &[JSON], "");
            let is_there = answer.status != 405;
            assert_eq!(is_there, is_told, "{method} {path}: {answer:?}");
            assert_ne!(answer.status, 404, "{path}");
            let status = answer.status.to_string();
            let told = &methods[method.to_lowercase()]["responses"][status];
            assert!(!is_told || told.is_object(), "{method} {path}: {answer:?}");
        }
    }
}

#[test]
fn it_has_each_parameter_and_no_other() {
    let home = folder();
    let server = Server::start(home.path());
    let document = document(&server);
    let told: BTreeSet<_> = (document["paths"][CONSIGNMENTS]["get"]["parameters"].as_array())
        .unwrap()
        .iter()
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    let refused = get(server.address, "/v1/consignments?nobody=1", &[]).is(400);
    let said = refused.json()["error"]["fields"][0]["description"].clone();
    let (_, known) = said.as_str().unwrap().split_once("there are ").unwrap();
    assert_eq!(told, known.split(", ").collect());
    for name in told.iter().filter(|name| **name != "follow") {
        let taken = ["true", "0", "2026-11-22T14:00:00Z"].iter().any(|value| {
            let path = format!("{CONSIGNMENTS}?{name}={value}");
            get(server.address, &path, &[]).status == 200
        });
        assert!(taken, "{name}");
    }
}

#[test]
fn an_id_is_taken_and_given_back_wherever_it_says_so() {
    let home = folder();
    let server = Server::start(home.path());
    let document = document(&server);
    let follow = |part: &Value| match part["$ref"].as_str() {
        Some(place) => document.pointer(&place[1..]).unwrap().clone(),
        None => part.clone(),
    };
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parameters = methods["parameters"].as_array().unwrap();
        let mut parameters = parameters.iter().map(follow);
        let is_told = parameters.any(|one| one["name"] == "X-Request-ID" && one["in"] == "header");
        assert!(is_told, "{path}");
        for method in ["get", "post"] {
            let responses = &methods[method]["responses"];
            for (status, response) in responses.as_object().into_iter().flatten() {
                // HTTP itself refuses that, before anything of the head is known.
                let has_it = !follow(response)["headers"]["X-Request-ID"].is_null();
                assert_eq!(has_it, status != "431", "{method} {path} {status}");
            }
            if responses.is_object() {
                let headers = ["X-Request-ID: mine-1", JSON];
                let answer = send(server.address, &method.to_uppercase(), path, &headers, "");
                assert_eq!(answer.header("x-request-id"), Some("mine-1"), "{answer:?}");
                assert!(responses[answer.status.to_string()].is_object());
                count += 1;
            }
        }
    }
    assert!(count >= 7, "{count}");
}

#[test]
#[ignore = "needs schemathesis"]
fn schemathesis_finds_nothing_that_it_does_not_say() {
    let home = folder();
    let server = Server::start(home.path());
    for body in [r#"{"id": "a"}"#, r#"{"id": "b", "containers": [{}]}"#] {
        send(server.address, "POST", CONSIGNMENTS, &[JSON], body).is(201);
    }
    let document = format!("http://{}/v1/openapi.json", server.address);
    let mut schemathesis = Command::new(schemathesis());
    schemathesis.current_dir(home.path()).env("no_proxy", "*");
    schemathesis.envs([("PYTHONPATH", HOOKS), ("PYTHONDONTWRITEBYTECODE", "1")]);
    schemathesis.env("SCHEMATHESIS_HOOKS", "hooks");
    schemathesis.args(["--config-file", &format!("{HOOKS}/schemathesis.toml")]);
    schemathesis.args(["run", &document, "--max-examples", "40", "--seed", "1"]);
    schemathesis.args(["--phases", "coverage,fuzzing,stateful", "--checks", "all"]);
    schemathesis.args(["--request-timeout", "5"]);
    run(&mut schemathesis).exits(0);
    assert!(!server.logged().contains("ERROR"), "{}", server.logged());
}

/// It stands beside the interpreter that it was installed for.
fn schemathesis() -> OsString {
    let python = env::var_os("SHIPPY_TEST_PYTHON").map(PathBuf::from);
    let beside = python.and_then(|python| Some(python.parent()?.join("schemathesis")));
    beside.map_or_else(|| "schemathesis".into(), PathBuf::into_os_string)
}
