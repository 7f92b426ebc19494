//! Who holds which port, as `/proc/net` has it for the network that this process is in.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The state of a TCP socket that takes connections (`net/tcp_states.h`).
const LISTENING: &str = "0A";
/// A socket that no file belongs to any more has this for one.
const NO_INODE: u64 = 0;

/// A socket, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Where it is bound.
    pub address: SocketAddr,
    /// Whose it is; `None` where that may not be known, as of other users' processes.
    pub process: Option<Process>,
}

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The name of what it runs.
    pub name: String,
}

/// Those that hold the UDP port `port`.
#[must_use]
pub fn udp(port: u16) -> Vec<Holder> {
    let mut bound = bound(&["/proc/net/udp", "/proc/net/udp6"], None);
    bound.retain(|(address, _)| address.port() == port);
    holders(bound)
}

/// Those that take TCP connections.
#[must_use]
pub fn listeners() -> Vec<Holder> {
    holders(bound(&["/proc/net/tcp", "/proc/net/tcp6"], Some(LISTENING)))
}

fn bound(tables: &[&str], state: Option<&str>) -> Vec<(SocketAddr, u64)> {
    let mut bound = Vec::new();
    for table in tables {
        let text = fs::read_to_string(table).unwrap_or_default();
        bound.extend(text.lines().skip(1).filter_map(|line| row(line, state)));
    }
    bound
}

/// `  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`
fn row(line: &str, state: Option<&str>) -> Option<(SocketAddr, u64)> {
    let columns: Vec<&str> = line.split_whitespace().take(10).collect();
    if state.is_some_and(|state| columns.get(3) != Some(&state)) {
        return None;
    }
    Some((address(columns.get(1)?)?, columns.get(9)?.parse().ok()?))
}

/// `0100007F:14E9`: words in this machine's own order of bytes, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
        Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

fn holders(bound: Vec<(SocketAddr, u64)>) -> Vec<Holder> {
    let processes = if bound.is_empty() {
        HashMap::new()
    } else {
        owners()
    };
    let holder = |(address, inode): (SocketAddr, u64)| Holder {
        address,
        process: processes.get(&inode).filter(|_| inode != NO_INODE).cloned(),
    };
    bound.into_iter().map(holder).collect()
}

/// The processes that have sockets, as far as they may be looked at, by the sockets' inodes.
fn owners() -> HashMap<u64, Process> {
    let mut owners = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in entries {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let files = fs::read_dir(entry.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        for target in files.filter_map(|file| fs::read_link(file.path()).ok()) {
            let inode = (target.to_str()).and_then(|target| {
                target
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
            });
            if let Some(inode) = inode {
                let name = name.trim().to_owned();
                owners.insert(inode, Process { pid, name });
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn an_address_is_read_as_the_kernel_writes_it() {
        let word = |bytes| format!("{:08X}", u32::from_ne_bytes(bytes));
        let loopback = format!("{}:14E9", word([127, 0, 0, 1]));
        assert_eq!(address(&loopback), Some("127.0.0.1:5353".parse().unwrap()));
        let zero = word([0; 4]);
        let ipv6 = format!("{zero}{zero}{zero}{}:0050", word([0, 0, 0, 1]));
        assert_eq!(address(&ipv6), Some("[::1]:80".parse().unwrap()));
        for text in [
            "",
            ":",
            "0100007F",
            "0100:14E9",
            "xx00007F:14E9",
            "é00007F:14E9",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_holds_a_port_is_known() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = |holder: &Holder| {
            let process = holder.process.as_ref();
            process.is_some_and(|process| process.pid == std::process::id())
        };
        let here = socket.local_addr().unwrap();
        let held = udp(here.port());
        assert!(
            held.iter()
                .any(|holder| holder.address == here && ours(holder)),
            "{held:?}"
        );
        let here = listener.local_addr().unwrap();
        let taken = listeners();
        assert!(
            taken
                .iter()
                .any(|holder| holder.address == here && ours(holder)),
            "{taken:?}"
        );
    }
}
