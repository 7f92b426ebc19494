//! What is found through etcd.

use serde_json::Value;

use super::{discover, folders, json, named};
use crate::support::{Server, etcd::Etcd, folder, own_name, run, shippy};

#[test]
#[ignore = "needs etcd"]
fn etcd_has_servers_of_every_name() {
    let home = folder();
    let etcd = Etcd::start(1);
    let place = [
        "--registry",
        "etcd",
        "--registry-address",
        &etcd.addresses(),
    ];
    let names = [own_name(), own_name()];
    let [one, two] = folders(home.path());
    let serve = |folder: &std::path::Path, name: &str| {
        let mut command = shippy(folder);
        command
            .args(["serve", "--name", name, "--store", "memory:"])
            .args(place);
        Server::spawn(command, folder)
    };
    let _servers = [serve(&one, &names[0]), serve(&two, &names[1])];
    let args = [&["-o", "json", "--for", "1s"], &place[..]].concat();
    let all = json(&run(&mut discover(home.path(), &args)).exits(0));
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    for name in &names {
        assert_eq!(named(&all, name).len(), 1, "{all}");
        let one = json(&run(discover(home.path(), &args).args(["--name", name])).exits(0));
        assert_eq!(one.as_array().map(Vec::len), Some(1), "{one}");
        assert_eq!(one[0]["name"], Value::from(&**name));
    }
}
