//! The system's own DNS: /etc/resolv.conf as it is in a pod, and without one; and a stock DNS server.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{Dns, look_up, looking_up};
use crate::{
    cli::serve,
    support::{
        dns::{Says, address, srv},
        eventually, folder, free_address,
        host::Host,
        own_name, run,
    },
    wrapped::wrapped,
};

/// The /etc/resolv.conf of a network namespace, as `ip netns exec` puts it there. It goes when this does.
struct ResolvConf {
    folder: PathBuf,
}

impl ResolvConf {
    fn of(host: &Host, text: &str) -> Self {
        let folder = Path::new("/etc/netns").join(&host.network.name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("resolv.conf"), text).unwrap();
        Self { folder }
    }
}

impl Drop for ResolvConf {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.folder);
        // Others may be there; then it stays.
        let _gone = fs::remove_dir("/etc/netns");
    }
}

/// What Kubernetes writes for a pod of the namespace `default`, with another server before its own and one more
/// setting.
const POD: &str = "search default.svc.cluster.local svc.cluster.local cluster.local\n\
                   nameserver 127.0.0.52\nnameserver 127.0.0.53\noptions ndots:5 no-aaaa\n";

#[test]
#[ignore = "needs root and network namespaces"]
fn network_in_a_pod_a_service_is_found_by_its_short_name_and_its_full_one() {
    let host = Host::new();
    let _conf = ResolvConf::of(&host, POD);
    let (silent, dns) = host.network.inside(|| {
        let silent = UdpSocket::bind("127.0.0.52:53").unwrap();
        (silent, Dns::at("127.0.0.53:53"))
    });
    let server = host.serve(&["--registry", "dns"]);
    let service = "_shippy._tcp.shippy.default.svc.cluster.local";
    let pod = "10-0-0-1.shippy.default.svc.cluster.local";
    dns.set(service, &[srv(0, server.address.port(), pod)]);
    dns.set(pod, &[address("127.0.0.1")]);
    // What is not in the cluster is asked for elsewhere, where that may fail.
    for outside in [
        "_shippy._tcp.shippy",
        "shippy",
        "_shippy._tcp.shippy.default",
        "shippy.default",
    ] {
        dns.say(outside, Says::Failure);
    }
    for name in [
        "shippy",
        "shippy.default",
        "shippy.default.svc.cluster.local",
        "shippy.default.svc.cluster.local.",
    ] {
        let args = ["list", "--registry", "dns", "--registry-address", name];
        // A setting that is not known is nothing to bother anybody with.
        assert_eq!(host.run(&args).exits(0).stderr, "no consignments\n");
    }
    let args = [
        "list",
        "--registry",
        "dns",
        "--registry-address",
        "depot.cluster.local",
        "--timeout",
        "3s",
    ];
    let ran = host.run(&args).exits(3);
    ran.says(&["depot.cluster.local does not exist"]);
    drop(silent);
}

#[test]
#[ignore = "needs root and mount namespaces"]
fn without_a_resolv_conf_it_is_told_what_to_do() {
    let home = folder();
    let list = looking_up(home.path(), "depot.test", &["list"]);
    for (script, said) in [
        (
            "mount -t tmpfs none /etc",
            "could not read /etc/resolv.conf",
        ),
        (
            "mount -t tmpfs none /etc; echo '# none' >/etc/resolv.conf",
            "could not use /etc/resolv.conf",
        ),
    ] {
        let script = format!("{script} && exec \"$@\"");
        let mut command = wrapped(&["unshare", "-m", "sh", "-c", &script, "sh"], &list);
        let ran = run(&mut command).exits(3);
        ran.says(&["no server found", said, "dns://SERVER/NAME", "--server"]);
    }
}

/// A process that ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
#[ignore = "needs dnsmasq"]
fn dnsmasq_is_understood() {
    let home = folder();
    let server = serve(home.path(), &own_name());
    let place = free_address();
    let (_, port) = place.split_once(':').unwrap();
    let srv = format!(
        "--srv-host=_shippy._tcp.depot.test,node.depot.test,{},0,1",
        server.address.port()
    );
    let mut command = Command::new("dnsmasq");
    command
        .args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--pid-file",
        ])
        .args([
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--port",
            port,
        ])
        .args([
            "--local=/test/",
            "--host-record=node.depot.test,127.0.0.1",
            &srv,
        ])
        .stdin(Stdio::null());
    let _dnsmasq = Process(command.spawn().unwrap());
    let list = |name: &str| {
        let place = format!("dns://{place}/{name}");
        look_up(home.path(), &place, &["list", "--timeout", "1s"])
    };
    eventually("dnsmasq", || {
        (list("depot.test").code == Some(0)).then_some(())
    });
    let by_address = format!("node.depot.test:{}", server.address.port());
    list(&by_address).exits(0);
    list("gone.test")
        .exits(3)
        .says(&["gone.test does not exist"]);
}
