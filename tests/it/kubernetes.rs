//! `deploy/kubernetes.yaml`: what it says of shippy is so, as far as it shows without a cluster.

use std::{env, path::Path, process::Command};

use serde_json::{Value, json};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Server,
    dns::{Dns, address, srv},
    folder, own_name,
    postgres::Cluster,
    run, shippy,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes.yaml");
const TEXT: &str = include_str!("../../deploy/kubernetes.yaml");

/// The one object of the `kind`.
fn object(kind: &str) -> Value {
    let objects: Vec<Value> = serde_saphyr::from_multiple(TEXT).unwrap();
    let mut found = objects.into_iter().filter(|one| one["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there are several: {kind}");
    object
}

/// The pods' specification.
fn pod() -> Value {
    object("Deployment")["spec"]["template"]["spec"].take()
}

/// The one container of the pods.
fn container() -> Value {
    let containers = pod()["containers"].take();
    assert_eq!(containers.as_array().map(Vec::len), Some(1));
    containers[0].clone()
}

fn texts(array: &Value) -> Vec<&str> {
    let array = array.as_array().unwrap().iter();
    array.map(|text| text.as_str().unwrap()).collect()
}

/// The container's command: its arguments and variables, but on a free port and with `store` for what the secret holds.
fn serve(home: &Path, store: &str) -> Command {
    let container = container();
    let mut command = shippy(home);
    command.args(texts(&container["args"]));
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        match name {
            "SHIPPY_STORE" => {
                let key = &variable["valueFrom"]["secretKeyRef"];
                assert_eq!(key, &json!({"name": "shippy-store", "key": "url"}));
                command.env(name, store)
            }
            "MICRO_SERVER_ADDRESS" | "SHIPPY_PROBE_ADDRESS" => command.env(name, ":0"),
            _ => command.env(name, variable["value"].as_str().unwrap()),
        };
    }
    command
}

/// The commands that the file's head gives for pods, in which the name that is looked up is `place`.
fn commands_from_pods(home: &Path, place: &str) -> Vec<(String, Command)> {
    let commands = (TEXT.lines()).filter_map(|line| line.strip_prefix("#     shippy "));
    let command = |args: &str| {
        let mut command = shippy(home);
        let each = args.split_whitespace();
        command.args(each.map(|arg| if arg == "shippy" { place } else { arg }));
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        (args.to_owned(), command)
    };
    commands.map(command).collect()
}

/// A DNS server that names `servers` as the cluster's does.
fn dns(servers: &[&Server]) -> Dns {
    let service = object("Service");
    let (name, port) = (&service["metadata"]["name"], &service["spec"]["ports"][0]);
    let (name, port) = (name.as_str().unwrap(), port["name"].as_str().unwrap());
    let dns = Dns::start();
    let pod = format!("10-0-0-1.{name}");
    dns.set(&pod, &[address("127.0.0.1")]);
    let records = servers.iter().map(|one| srv(0, one.address.port(), &pod));
    let records: Vec<_> = records.collect();
    dns.set(&format!("_{port}._tcp.{name}"), &records);
    dns
}

#[test]
fn its_parts_name_each_other() {
    let labels = &object("Deployment")["spec"]["template"]["metadata"]["labels"];
    assert!(labels.is_object());
    for (kind, selector) in [
        ("Service", "/spec/selector"),
        ("Deployment", "/spec/selector/matchLabels"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
    ] {
        assert_eq!(object(kind).pointer(selector), Some(labels), "{kind}");
    }
    let (service, container) = (object("Service"), container());
    assert_eq!(service["spec"]["clusterIP"], "None");
    let (outer, inner) = (&service["spec"]["ports"][0], &container["ports"][0]);
    assert_eq!(outer["targetPort"], inner["name"]);
    // It is what the SRV records are called, and clients ask for no other.
    assert_eq!(outer["name"], "shippy");
    let port = &inner["containerPort"];
    assert_eq!(&outer["port"], port);
    // Which clients take where there are no SRV records.
    assert_eq!(port, shippy::registry::dns::PORT);
    let probed = &container["ports"][1]["containerPort"];
    for (probe, service) in [
        ("startupProbe", json!("liveness")),
        ("readinessProbe", Value::Null),
        ("livenessProbe", json!("liveness")),
    ] {
        let asked = &container[probe]["grpc"];
        assert_eq!(
            (&asked["port"], &asked["service"]),
            (probed, &service),
            "{probe}"
        );
    }
    for (name, port) in [
        ("MICRO_SERVER_ADDRESS", port),
        ("SHIPPY_PROBE_ADDRESS", probed),
    ] {
        let listens = json!({"name": name, "value": format!(":{port}")});
        assert!(container["env"].as_array().unwrap().contains(&listens));
    }
    let offered = service["spec"]["ports"].as_array().unwrap();
    assert_eq!(offered.len(), 1, "clients are not sent to the probes");
}

#[test]
fn a_server_has_the_time_and_the_rights_that_it_needs_and_no_more() {
    let (pod, container) = (pod(), container());
    // Server::run takes 9.5 s at most.
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!((10..30).contains(&grace), "{grace}");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 10_001);
    let expected = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], expected);
}

#[tokio::test]
async fn its_container_serves_its_probes_and_the_commands_from_pods() {
    let home = folder();
    let store = format!("sqlite:{}", home.path().join("register.db").display());
    let server = Server::spawn(serve(home.path(), &store), home.path());
    assert!(server.address.ip().is_unspecified(), "{}", server.ready);
    let log = server.logged();
    assert!(!log.contains("not a setting"), "{log}");
    let help = run(shippy(home.path()).args(["serve", "--help"])).stdout;
    let container = container();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(help.contains(&format!("[env: {name}]")), "{name}");
    }
    let (_, probed) = server.ready.split_once("health alone on ").unwrap();
    let port = probed.split(&[';', ',', ' ', '\n']).next().unwrap();
    let (_, port) = port.rsplit_once(':').unwrap();
    let channel = Endpoint::from_shared(format!("http://127.0.0.1:{port}"));
    let mut health = HealthClient::new(channel.unwrap().connect().await.unwrap());
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let service = container[probe]["grpc"]["service"].as_str();
        let service = service.unwrap_or_default().to_owned();
        let reply = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(
            reply.into_inner().status(),
            ServingStatus::Serving,
            "{probe}"
        );
    }
    let dns = dns(&[&server]);
    let commands = commands_from_pods(home.path(), &dns.place("shippy"));
    assert_eq!(commands.len(), 2, "create and list");
    for (line, mut command) in commands {
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(0), "{line}: {ran:#?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn three_of_its_servers_are_one_register_and_any_of_them_may_go() {
    let (cluster, home) = (Cluster::start(), folder());
    let name = own_name();
    let servers = ["one", "two", "three"].map(|each| {
        let folder = home.path().join(each);
        std::fs::create_dir(&folder).unwrap();
        let mut command = serve(&folder, &cluster.url("postgres"));
        command.env("MICRO_SERVER_NAME", &name);
        Server::spawn(command, &folder)
    });
    let dns = dns(&servers.each_ref());
    let place = dns.place("shippy");
    for (number, server) in (1..).zip(servers) {
        for (line, mut command) in commands_from_pods(home.path(), &place) {
            let ran = run(&mut command);
            assert_eq!(ran.code, Some(0), "{line}: {ran:#?}");
            let is_list = line.starts_with("list ");
            let listed = ran.stdout.lines().skip(1).count();
            assert!(!is_list || listed == number, "not {number}: {ran:#?}");
        }
        // Its DNS goes on naming it for a while.
        server.kill();
    }
}

#[test]
#[ignore = "needs python3 with kubernetes-validate"]
fn kubernetes_takes_the_manifest() {
    let python = env::var("SHIPPY_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    for version in ["1.27", "1.37"] {
        let mut validate = Command::new(&python);
        validate.args(["-m", "kubernetes_validate", "--strict", "-k", version, FILE]);
        run(&mut validate).exits(0);
    }
}
