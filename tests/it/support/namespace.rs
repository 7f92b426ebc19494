//! Networks of the tests' own: namespaces that are joined by virtual cables and bridges, so that nothing is said on a
//! real network. They need root, `ip` and `bridge` (iproute2) and, for firewalls, `nft` (nftables).

use std::{
    ffi::OsStr,
    fs::File,
    io::Write as _,
    os::fd::AsFd as _,
    panic::resume_unwind,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::eventually;

/// A network namespace, deleted when this is dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    /// One in which nothing is up, not even loopback.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("shippy-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name }
    }

    /// One whose loopback interface is up.
    pub(crate) fn with_loopback() -> Self {
        let namespace = Self::new();
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// `program`, to be run inside. The process that is spawned is the program itself.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs `work` in a thread inside. What it starts, threads and processes, is inside as well.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let link = File::open(format!("/run/netns/{}", self.name)).unwrap();
                move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Runs `ip` inside.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    /// Lays a cable to `other`: an interface `cable` on each side, with an address each, in CIDR notation.
    pub(crate) fn connect(&self, cable: &str, address: &str, other: &Self, other_address: &str) {
        self.ip(&veth(cable, cable, other));
        for (side, address) in [(self, address), (other, other_address)] {
            side.add_address(cable, address);
            side.ip(&["link", "set", cable, "up"]);
        }
        for side in [self, other] {
            side.await_carrier(cable);
        }
    }

    /// The kernel notices a new cable's carrier in its own time; an interface without one takes no part.
    pub(crate) fn await_carrier(&self, interface: &str) {
        let arguments = ["-n", &self.name, "-o", "link", "show", interface];
        eventually("a carrier", || {
            let shown = Command::new("ip").args(arguments).output().unwrap().stdout;
            String::from_utf8_lossy(&shown)
                .contains("state UP")
                .then_some(())
        });
    }

    /// Gives `interface` one more address, in CIDR notation.
    pub(crate) fn add_address(&self, interface: &str, address: &str) {
        // Whether another host has the same IPv6 address takes a second to find out, and nobody has.
        let nodad: &[&str] = if address.contains(':') {
            &["nodad"]
        } else {
            &[]
        };
        self.ip(&[&["address", "add", address, "dev", interface], nodad].concat());
    }

    /// Takes IPv6 away from all interfaces, present and to come.
    pub(crate) fn disable_ipv6(&self) {
        let setting = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
        let mut write = self.command("sh");
        write.args(["-c", &format!("echo 1 >{setting}")]);
        succeed(&mut write);
    }

    /// Adds the nftables `rules`.
    #[track_caller]
    pub(crate) fn filter(&self, rules: &str) {
        let mut nft = self.command("nft");
        nft.args(["-f", "-"]).stdin(Stdio::piped());
        let mut nft = nft.spawn().unwrap();
        nft.stdin
            .take()
            .unwrap()
            .write_all(rules.as_bytes())
            .unwrap();
        assert!(nft.wait().unwrap().success(), "nft refused: {rules}");
    }

    /// Removes every nftables rule.
    pub(crate) fn unfilter(&self) {
        succeed(self.command("nft").args(["flush", "ruleset"]));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ended = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

/// An Ethernet switch in a namespace of its own.
#[derive(Debug)]
pub(crate) struct Bridge {
    switch: Namespace,
    ports: AtomicU32,
}

/// A host's place on a bridge.
#[derive(Debug)]
pub(crate) struct Port<'b> {
    bridge: &'b Bridge,
    name: String,
}

impl Bridge {
    pub(crate) fn new() -> Self {
        let switch = Namespace::new();
        switch.ip(&["link", "add", "bridge", "type", "bridge"]);
        switch.ip(&["link", "set", "bridge", "up"]);
        let ports = AtomicU32::new(0);
        Self { switch, ports }
    }

    /// Plugs `host` in: `interface` there gets `addresses`, in CIDR notation.
    pub(crate) fn plug(&self, host: &Namespace, interface: &str, addresses: &[&str]) -> Port<'_> {
        let name = format!("port{}", self.ports.fetch_add(1, Ordering::Relaxed));
        self.switch.ip(&veth(&name, interface, host));
        for address in addresses {
            host.add_address(interface, address);
        }
        self.switch
            .ip(&["link", "set", &name, "master", "bridge", "up"]);
        host.ip(&["link", "set", interface, "up"]);
        host.await_carrier(interface);
        Port { bridge: self, name }
    }
}

impl Port<'_> {
    /// Pulls the plug: the host sees that it has no link.
    pub(crate) fn cut(&self) {
        self.set_link("down");
    }

    /// Plugs in again.
    pub(crate) fn mend(&self) {
        self.set_link("up");
    }

    /// Drops what comes and goes here; the host's link stays up.
    pub(crate) fn mute(&self) {
        let name = &self.name;
        self.bridge.switch.filter(&format!(
            "table bridge mute {{\n chain forward {{\n  type filter hook forward priority 0;\n  \
             iifname {name} drop\n  oifname {name} drop\n }}\n}}\n"
        ));
    }

    /// Lets everything through again, at every port of the bridge.
    pub(crate) fn unmute(&self) {
        self.bridge.switch.unfilter();
    }

    fn set_link(&self, state: &str) {
        self.bridge.switch.ip(&["link", "set", &self.name, state]);
    }
}

/// The `ip` arguments for a cable from the interface `here` to `there` in `other`.
fn veth<'a>(here: &'a str, there: &'a str, other: &'a Namespace) -> [&'a str; 10] {
    [
        "link",
        "add",
        here,
        "type",
        "veth",
        "peer",
        "name",
        there,
        "netns",
        &other.name,
    ]
}

#[track_caller]
fn ip(arguments: &[&str]) {
    succeed(Command::new("ip").args(arguments));
}

#[track_caller]
fn succeed(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
