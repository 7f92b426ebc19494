//! Consul: what it shows, agents that are restarted, ACLs.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use shippy::registry::{
    Instance, Registry,
    access::{Access, Secret, Tenure},
    consul::Consul as ConsulRegistry,
};

use super::{Ground, all, instance, kept::Service, next, next_instance};
use crate::support::{
    Server,
    consul::{Consul, MASTER},
    eventually, folder, free_address, own_name, run, shippy,
};

contract_holds!(Consul, "needs Consul");
is_kept!(Consul, "needs Consul");

fn registry(addresses: &[&str], ttl: Duration) -> Arc<dyn Registry> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let access = Access::new(&addresses, 1, None).unwrap();
    let interval = ttl / 2;
    let tenure = Tenure { ttl, interval };
    Arc::new(ConsulRegistry::new(&access, None::<Secret>, tenure).unwrap())
}

const MINUTE: Duration = Duration::from_secs(60);

impl Ground for Consul {
    fn start() -> Self {
        Self::start()
    }

    fn registry(&self) -> Arc<dyn Registry> {
        registry(&[&self.address], MINUTE)
    }
}

impl Service for Consul {
    fn not_yet() -> Self {
        Self::stopped(&Value::Null)
    }

    fn up(&mut self) {
        self.up();
    }

    fn down(&mut self) {
        self.down();
    }

    fn lose(&mut self) {
        self.lose();
    }

    fn place(&self) -> (&'static str, String) {
        ("consul", self.address.clone())
    }
}

#[test]
#[ignore = "needs Consul"]
fn the_agent_shows_where_the_server_is() {
    let (consul, home, name) = (Consul::start(), folder(), own_name());
    let mut command = consul.shippy(home.path(), &["serve", "--name", &name, "--id", "depot"]);
    command.args(["--store", "memory:", "--advertise", "depot.example:50051"]);
    let server = Server::spawn(command, home.path());
    let path = format!("/v1/health/service/{name}?passing=1");
    let shown = consul.call("GET", &path, &Value::Null);
    let service = &shown[0]["Service"];
    let id = service["ID"].as_str().unwrap();
    assert!(id.starts_with(&format!("{name}-depot-")), "{id}");
    assert_eq!(service["Address"], "depot.example");
    assert_eq!(service["Port"], 50_051);
    assert_eq!(service["Meta"]["register"], *server.register);
}

#[tokio::test]
#[ignore = "needs Consul"]
async fn what_others_register_under_the_name_is_passed_over() {
    let consul = Consul::start();
    let announced = instance(50_051);
    let others = json!({"Name": announced.name, "ID": "other", "Address": "10.0.0.1", "Port": 1});
    consul.call("PUT", "/v1/agent/service/register", &others);
    let server = consul.registry();
    server.announce(&announced).await.unwrap();
    assert_eq!(all(&*consul.registry(), &announced.name).await, [announced]);
}

#[tokio::test]
#[ignore = "needs Consul"]
async fn a_registration_that_somebody_takes_away_comes_back() {
    let consul = Consul::start();
    let announced = instance(50_051);
    let server = registry(&[&consul.address], Duration::from_secs(2));
    server.announce(&announced).await.unwrap();
    let client = consul.registry();
    let mut search = client.find(&announced.name);
    assert_eq!(next(&mut search).await.unwrap(), announced);
    let path = format!(
        "/v1/agent/service/deregister/{}-{}",
        announced.name, announced.id
    );
    consul.call("PUT", &path, &Value::Null);
    // The search sees it go, and come.
    assert_eq!(next_instance(&mut search).await, announced);
}

#[tokio::test]
#[ignore = "needs Consul"]
async fn a_search_goes_on_over_restarts_and_loss() {
    let mut consul = Consul::start();
    let first = instance(50_051);
    let client = consul.registry();
    let mut search = client.find(&first.name);
    let soon = Duration::from_secs(2);
    let server = registry(&[&consul.address], soon);
    server.announce(&first).await.unwrap();
    assert_eq!(next_instance(&mut search).await, first);
    for lost in [false, true] {
        consul.down();
        if lost {
            consul.lose();
        }
        consul.up();
        let late = Instance {
            name: first.name.clone(),
            ..instance(50_052)
        };
        let second = registry(&[&consul.address], soon);
        second.announce(&late).await.unwrap();
        while next_instance(&mut search).await != late {}
    }
}

#[tokio::test]
#[ignore = "needs Consul"]
async fn any_agent_will_do() {
    let consul = Consul::start();
    let announced = instance(50_051);
    let server = registry(&[&free_address(), &consul.address], MINUTE);
    server.announce(&announced).await.unwrap();
    let client = registry(&[&free_address(), &consul.address], MINUTE);
    assert_eq!(
        next(&mut client.find(&announced.name)).await.unwrap(),
        announced
    );
}

#[test]
#[ignore = "needs Consul"]
fn a_refusal_by_acls_says_what_to_change() {
    let acl = json!({"enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}});
    let consul = Consul::start_with(&json!({"acl": acl}));
    let (home, name) = (folder(), own_name());
    let serve = || {
        consul.shippy(
            home.path(),
            &["serve", "--name", &name, "--store", "memory:"],
        )
    };
    let list = || consul.shippy(home.path(), &["list", "--name", &name, "--timeout", "1s"]);

    // Nobody in particular may not register, and serves.
    let server = Server::spawn(serve(), home.path());
    let log = server.logged();
    for text in [
        "WARN not announced",
        "--server",
        "set CONSUL_HTTP_TOKEN",
        "service:write",
        "tried again",
    ] {
        assert!(log.contains(text), "no {text:?} in {log}");
    }
    run(&mut server.ask(home.path(), &["list"])).exits(0);
    assert!(server.stop().success());

    // A token that is none.
    let mut command = serve();
    command.env("CONSUL_HTTP_TOKEN", "9a9a9a9a-0000-0000-0000-000000000000");
    let server = Server::spawn(command, home.path());
    let log = server.logged();
    assert!(
        log.contains("ACL not found") && log.contains("CONSUL_HTTP_TOKEN has to be"),
        "{log}"
    );
    assert!(!log.contains("9a9a9a9a"), "{log}");
    assert!(server.stop().success());
    let mut command = list();
    command.env("CONSUL_HTTP_TOKEN", "9a9a9a9a-0000-0000-0000-000000000000");
    let ran = run(&mut command)
        .exits(3)
        .says(&["ACL not found", "CONSUL_HTTP_TOKEN"]);
    assert!(!ran.stderr.contains("9a9a9a9a"), "{ran:#?}");

    // One that may do just what is needed.
    let rules = format!(
        "service \"{name}\" {{ policy = \"write\" }} node_prefix \"\" {{ policy = \"read\" }}"
    );
    consul.call(
        "PUT",
        "/v1/acl/policy",
        &json!({"Name": "shippy", "Rules": rules}),
    );
    let token = consul.call(
        "PUT",
        "/v1/acl/token",
        &json!({"Policies": [{"Name": "shippy"}]}),
    );
    let token = token["SecretID"].as_str().unwrap();
    let mut command = serve();
    command.env("CONSUL_HTTP_TOKEN", token);
    let other_home = folder();
    let server = Server::spawn(command, other_home.path());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
    run(list().env("CONSUL_HTTP_TOKEN", token)).exits(0);
    // Whoever may not read is told nothing by Consul, and by shippy that this may be why.
    run(&mut list())
        .exits(3)
        .says(&["no server found", "CONSUL_HTTP_TOKEN"]);
    assert!(server.stop().success());
}

#[test]
#[ignore = "needs Consul"]
fn tls_is_spoken_to_whom_the_authority_vouches_for() {
    let (home, name) = (folder(), own_name());
    let [trusted, key] = super::certificate(home.path(), "trusted");
    let [other, _] = super::certificate(home.path(), "other");
    let secure = free_address();
    let port: u16 = secure.rsplit(':').next().unwrap().parse().unwrap();
    let consul = Consul::start_with(&json!({
        "cert_file": trusted, "key_file": key, "ports": {"https": port},
    }));
    let command = super::command(home.path(), "consul", &name);
    let list = ["list", "--timeout", "1s"];
    let address = format!("https://{secure}");
    let serve = ["serve", "--store", "memory:"];
    let server = Server::spawn(command(&serve, &trusted, &address), home.path());
    assert!(!server.logged().contains("WARN"), "{}", server.logged());
    run(&mut command(&list, &trusted, &address)).exits(0);
    run(&mut command(&list, &other, &address))
        .exits(3)
        .says(&["invalid peer certificate", "--registry-ca"]);
    for address in [secure, format!("https://{}", consul.address)] {
        run(&mut command(&list, &trusted, &address))
            .exits(3)
            .says(&["https://", "--server"]);
    }
    assert!(server.stop().success());
}

#[test]
#[ignore = "needs Consul"]
fn what_is_not_consul_is_told() {
    let home = folder();
    let shippy_itself = Server::start(home.path());
    let dead = free_address();
    for address in [shippy_itself.address.to_string(), dead] {
        let mut command = shippy(home.path());
        command.args(["list", "--timeout", "1s", "--registry", "consul"]);
        run(command.args(["--registry-address", &address]))
            .exits(3)
            .says(&[&address, "--server"]);
    }
    let mut server = shippy(home.path());
    server.args(["serve", "--store", "memory:", "--name", &own_name()]);
    server.args([
        "--registry",
        "consul",
        "--registry-address",
        &free_address(),
    ]);
    let server = Server::spawn(server, home.path());
    eventually("a warning", || {
        server.logged().contains("tried again").then_some(())
    });
}
