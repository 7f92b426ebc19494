//! Avahi, which asks and answers on the same port on most desktops. It needs dbus-daemon, avahi-daemon and avahi-browse.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::plugged;
use crate::support::{Server, eventually, folder, host::Host, namespace::Bridge};

/// An Avahi that runs on a host and has nothing to do with the machine's own. It is killed when it goes out of scope.
struct Avahi<'h> {
    host: &'h Host,
    folder: TempDir,
    daemons: Vec<Child>,
}

impl<'h> Avahi<'h> {
    fn start(host: &'h Host) -> Self {
        let folder = folder();
        let mut avahi = Self {
            host,
            folder,
            daemons: Vec::new(),
        };
        avahi.start_bus();
        avahi.start_daemon();
        eventually("Avahi's answer", || {
            let mut browse = avahi.command("avahi-browse");
            let ended = browse.args(["-apt"]).output().unwrap().status;
            ended.success().then_some(())
        });
        avahi
    }

    /// A message bus where everybody may do anything.
    fn start_bus(&mut self) {
        let config = self.folder.path().join("bus.conf");
        let rules = ["own", "send_destination", "receive_sender"]
            .map(|what| format!("<allow {what}=\"*\"/>"))
            .concat();
        let text = format!(
            "<busconfig><type>system</type><listen>{}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/>{rules}</policy></busconfig>",
            self.bus()
        );
        fs::write(&config, text).unwrap();
        let mut bus = self.command("dbus-daemon");
        bus.args(["--nofork", "--nopidfile", "--nosyslog", "--config-file"])
            .arg(&config);
        self.daemons.push(bus.spawn().unwrap());
        eventually("the message bus", || {
            self.folder.path().join("bus").exists().then_some(())
        });
    }

    /// The daemon, which keeps its socket in a fixed place: under a /run that nobody else sees.
    fn start_daemon(&mut self) {
        let config = self.folder.path().join("avahi.conf");
        fs::write(
            &config,
            "[server]\nhost-name=desktop\n[wide-area]\n[publish]\n",
        )
        .unwrap();
        let script = format!(
            "mount -t tmpfs tmpfs /run && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {}",
            config.display()
        );
        let mut daemon = self.command("sh");
        daemon.args(["-c", &script]);
        self.daemons.push(daemon.spawn().unwrap());
    }

    fn bus(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    /// `program`, to be run on the host with Avahi's bus.
    fn command(&self, program: &str) -> Command {
        let mut command = self.host.network.command(program);
        command
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus())
            .stderr(Stdio::null());
        command
    }

    /// What `avahi-browse` prints of the servers that it knows by now over IPv4: a line each, with the fields parted by
    /// `;`.
    fn browse(&self) -> Vec<String> {
        let mut browse = self.command("avahi-browse");
        let output = browse.args(["-rpt", "_shippy._tcp"]).output().unwrap();
        assert!(output.status.success(), "{browse:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let resolved = text
            .lines()
            .filter(|line| line.starts_with('=') && line.contains(";IPv4;"));
        resolved.map(str::to_owned).collect()
    }
}

impl Drop for Avahi<'_> {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_avahi_shows_a_server_as_long_as_it_serves() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (desktop, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let avahi = Avahi::start(&desktop);
    let server = depot.serve(&["--lan", "--id", "depot-1"]);

    let shown = eventually("what Avahi shows", || avahi.browse().into_iter().next());
    let fields: Vec<&str> = shown.split(';').collect();
    assert_eq!(
        fields[7..9],
        ["10.77.0.1", &server.address.port().to_string()],
        "{shown}"
    );
    let version = env!("CARGO_PKG_VERSION");
    for text in [
        "\"txtvers=1\"",
        // What the setting says, and what makes it unique.
        "\"id=depot-1-",
        "\"service=go.micro.srv.consignment\"",
        &format!("\"version={version}\""),
        &format!("\"register={}\"", server.register),
        "\"kind=single\"",
        "\"tls=0\"",
    ] {
        assert!(fields[9].contains(text), "no {text} in {shown}");
    }

    assert!(server.stop().success());
    eventually("Avahi's list without the server", || {
        avahi.browse().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs root and network namespaces"]
fn network_server_and_client_share_the_port_with_avahi() {
    let bridge = Bridge::new();
    let (depot, _) = plugged(&bridge, &["10.77.0.1/24"]);
    let (office, _) = plugged(&bridge, &["10.77.0.2/24"]);
    let avahis = [Avahi::start(&depot), Avahi::start(&office)];
    let _server = Server::that_logs(
        || depot.serve(&["--lan"]),
        |log| !log.contains("not announced"),
    );
    for host in [&depot, &office] {
        host.create().exits(0);
        host.list().exits(0);
    }
    for avahi in &avahis {
        eventually("what Avahi shows", || avahi.browse().into_iter().next());
    }
}
