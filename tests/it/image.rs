//! The image: three roles in one, containers that find each other with nothing configured, and a register that
//! outlives its container.
//!
//! Run with `cargo test --test it -- --ignored image`. It needs a Docker engine; `DOCKER` names another client than
//! `docker`, and `SHIPPY_TEST_IMAGE` an image that is there already.

use std::{path::Path, time::Duration};

use shippy::proto::Consignment;

use self::docker::{Container, Network, Volume, shippy};
use crate::support::{self, Ran, Server, folder, free_port, own_name, run};

pub(crate) mod docker;
mod newcomer;

/// When Docker kills what it has asked to stop: an orderly end, which has nothing to drain here, comes before.
const KILLED_AFTER: Duration = Duration::from_secs(10);
/// What a process ends with that PID 1's deafness to signals made Docker kill.
const KILLED: &str = "137";

/// The one consignment that `listed` holds, as NDJSON.
#[track_caller]
fn only(listed: &Ran) -> Consignment {
    serde_json::from_str(&listed.stdout).unwrap_or_else(|error| panic!("{error}: {listed:#?}"))
}

#[test]
#[ignore = "needs docker"]
fn image_containers_on_one_network_find_each_other_with_nothing_configured() {
    let network = Network::new();
    let on_network = ["--network", &network.name];
    let _server = Container::serve(&on_network, &[]);
    let created = shippy(&on_network, &["create", "consignment.json"]).exits(0);
    let table = shippy(&on_network, &["list"]).exits(0);
    assert!(table.stdout.contains("vessel001"), "{table:#?}");
    let listed = only(&shippy(&on_network, &["list", "-o", "ndjson"]).exits(0));
    assert_eq!(listed.id, created.stdout.trim());
    assert_eq!((listed.sequence, listed.weight), (1, 550));
}

#[test]
#[ignore = "needs docker"]
fn image_without_a_server_says_so_and_exits_as_the_command_does() {
    let network = Network::new();
    let on_network = ["--network", &network.name];
    let quickly = ["list", "--timeout", "500ms", "--name", &own_name()];
    shippy(&on_network, &quickly)
        .exits(3)
        .says(&["no server", "Docker network"]);
    shippy(&on_network, &["create", "missing.json"])
        .exits(2)
        .says(&["missing.json"]);
}

#[test]
#[ignore = "needs docker"]
fn image_what_was_created_outlives_the_container_in_its_volume() {
    let (network, volume) = (Network::new(), Volume::new());
    let at = volume.at(Path::new("/data"));
    let options = ["--network", &network.name, "--volume", &at];
    let on_network = &options[..2];

    let server = Container::serve(&options, &[]);
    let register = server.register();
    let created = shippy(on_network, &["create", "consignment.json"]).exits(0);
    let files = server.exec(&["ls", "/data"]).exits(0);
    assert!(
        files.stdout.contains("go.micro.srv.consignment.db"),
        "{files:#?}"
    );
    drop(server);

    let server = Container::serve(&options, &[]);
    assert_eq!(server.register(), register);
    let listed = only(&shippy(on_network, &["list", "-o", "ndjson"]).exits(0));
    assert_eq!(listed.id, created.stdout.trim());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs docker"]
async fn image_stops_in_order_and_long_before_docker_kills() {
    let port = free_port();
    let publish = format!("127.0.0.1:{port}:50051");
    let server = Container::serve(&["--publish", &publish], &[]);
    let url = format!("http://127.0.0.1:{port}");
    let client = tonic::transport::Endpoint::from_shared(url).unwrap();
    let _open = client.connect().await.unwrap();

    let (code, took) = tokio::task::block_in_place(|| server.stop());
    assert_ne!(code, KILLED);
    assert_eq!(code, "0");
    assert!(took < KILLED_AFTER, "took {took:?}");
}

#[test]
#[ignore = "needs docker"]
fn image_takes_the_run_command_of_the_go_service() {
    let port = free_port();
    let publish = format!("{port}:50051");
    let settings = ["MICRO_SERVER_ADDRESS=:50051", "MICRO_REGISTRY=mdns"];
    let _server = Container::serve(&["-p", &publish, "-e", settings[0], "-e", settings[1]], &[]);
    let home = folder();
    let host = |args: &[&str]| {
        let server = format!("127.0.0.1:{port}");
        run(support::shippy(home.path())
            .args(args)
            .args(["--server", &server]))
        .exits(0)
    };
    let created = host(&["create", "consignment.json"]);
    let listed = only(&host(&["list", "-o", "ndjson"]));
    assert_eq!(listed.id, created.stdout.trim());
}

#[test]
#[ignore = "needs docker on this machine"]
fn image_the_machine_finds_the_server_in_the_container() {
    let name = own_name();
    let server = Container::serve(&["-e", &format!("MICRO_SERVER_NAME={name}")], &[]);
    let home = folder();
    let host = |args: &[&str]| {
        run(support::shippy(home.path())
            .args(args)
            .args(["--name", &name]))
        .exits(0)
    };
    let created = host(&["create", "consignment.json"]);
    let listed = only(&host(&["list", "-o", "ndjson"]));
    assert_eq!(listed.id, created.stdout.trim());
    let health = host(&["health"]);
    assert!(health.stdout.contains(&server.register()), "{health:#?}");
}

#[test]
#[ignore = "needs docker on this machine"]
fn image_the_container_finds_the_server_on_the_machine() {
    let (home, name) = (folder(), own_name());
    let mut serve = support::shippy(home.path());
    serve.args(["serve", "--lan", "--store=memory:", "--name", &name]);
    let _server = Server::spawn(serve, home.path());
    let created = shippy(&[], &["create", "consignment.json", "--name", &name]).exits(0);
    let listed = shippy(&[], &["list", "-o", "ndjson", "--name", &name]).exits(0);
    assert_eq!(only(&listed).id, created.stdout.trim());
}

#[test]
#[ignore = "needs docker"]
fn image_is_healthy_while_it_serves() {
    let server = Container::serve(&["--health-interval", "1s"], &[]);
    server.becomes("healthy");
    let asked = server.exec(&["shippy", "health"]).exits(0);
    assert!(asked.stdout.starts_with("SERVING"), "{asked:#?}");
}

#[test]
#[ignore = "needs docker"]
fn image_is_unhealthy_where_nothing_serves() {
    let options = [
        "--health-interval=1s",
        "--health-start-period=1ms",
        "--health-retries=1",
    ];
    let server = Container::serve(&options, &["serve", "--address", "127.0.0.1:0"]);
    server.becomes("unhealthy");
}

/// What takes from a container all that it need not have.
const LOCKED: [&str; 3] = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
];

#[test]
#[ignore = "needs docker"]
fn image_serves_as_nobody_on_a_read_only_system() {
    let (network, volume) = (Network::new(), Volume::new());
    let at = volume.at(Path::new("/data"));
    let locked = [&["--network", &network.name], &LOCKED[..]].concat();
    let server = Container::serve(&[&locked[..], &["--volume", &at]].concat(), &[]);
    let status = server.exec(&["cat", "/proc/1/status"]).exits(0).stdout;
    for line in [
        "Uid:\t10001\t10001\t10001\t10001",
        "Gid:\t10001\t10001\t10001\t10001",
        // Neither has it any capability nor can it come by one.
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(status.lines().any(|is| is == line), "{line:?}: {status}");
    }
    server.exec(&["touch", "/shippy/x"]).exits(1);

    let created = shippy(&locked, &["create", "consignment.json"]).exits(0);
    let listed = only(&shippy(&locked, &["list", "-o", "ndjson"]).exits(0));
    assert_eq!(listed.id, created.stdout.trim());
    assert_eq!(server.stop().0, "0");
}

#[test]
#[ignore = "needs docker"]
fn image_serves_as_whatever_user_it_is_given() {
    let network = Network::new();
    let locked = [
        &["--network", &network.name, "--user=4242:4242"],
        &LOCKED[..],
    ]
    .concat();
    let data = ["--tmpfs=/data:uid=4242,gid=4242,mode=0700"];
    let server = Container::serve(&[&locked[..], &data].concat(), &[]);
    let owner = server.exec(&["stat", "-c", "%u", "/data/go.micro.srv.consignment.db"]);
    assert_eq!(owner.exits(0).stdout.trim(), "4242");
    let created = shippy(&locked, &["create", "consignment.json"]).exits(0);
    let listed = only(&shippy(&locked, &["list", "-o", "ndjson"]).exits(0));
    assert_eq!(listed.id, created.stdout.trim());
}

#[test]
#[ignore = "needs docker"]
fn image_brings_manual_pages_and_completions() {
    let network = Network::new();
    let server = Container::serve(&["--network", &network.name], &[]);
    for file in [
        "man/man1/shippy.1",
        "man/man1/shippy-create.1",
        "bash-completion/completions/shippy",
        "zsh/site-functions/_shippy",
        "fish/vendor_completions.d/shippy.fish",
    ] {
        let path = format!("/usr/share/{file}");
        server.exec(&["grep", "-q", "shippy", &path]).exits(0);
    }
}
