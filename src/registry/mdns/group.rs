//! The group of multicast DNS (RFC 6762 §3): whoever has joined it on an interface hears what is said there, and speaks
//! from the same port.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket as StdSocket},
    task::{Context, Poll, ready},
};

use socket2::{Domain, InterfaceIndexOrAddress, SockRef, Type};
use tokio::{io::ReadBuf, net::UdpSocket};

use super::interfaces::Link;

pub(super) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(super) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// The time to live of everything that multicast DNS sends (RFC 6762 §11).
pub(super) const HOPS: u32 = 255;
/// The room for a message. A legal one is shorter, 9,000 bytes being the limit with its headers (RFC 6762 §17): what
/// fills this was cut off.
pub(super) const MESSAGE_MAX: usize = 9_000;
/// Most interfaces and versions of IP that one takes part on: a machine that runs containers has dozens of interfaces,
/// seldom more.
pub(crate) const MEMBERS_MAX: usize = 64;
/// Where a socket may be bound to the group, and speaks from the interface's address nevertheless.
const BINDS_TO_GROUP: bool = cfg!(any(target_os = "android", target_os = "linux"));

/// A member of the group on one interface over one version of IP.
///
/// On Linux it hears what is said to the group there and nothing else: what is sent to this machine alone is not taken
/// from whom it is for, as an Avahi beside it.
#[derive(Debug)]
pub(super) struct Member {
    udp: UdpSocket,
    link: Link,
    group: SocketAddr,
}

impl Member {
    /// Joins the group on `link`, on the UDP port `port`, which is shared with whoever shares it.
    pub(super) fn join(link: &Link, is_ipv4: bool, port: u16) -> io::Result<Self> {
        let index = link.index;
        let group = if is_ipv4 {
            SocketAddr::from((GROUP_V4, port))
        } else {
            SocketAddrV6::new(GROUP_V6, port, 0, index).into()
        };
        let at = match group {
            group if BINDS_TO_GROUP => group,
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        };
        let socket = listener(at)?;
        if is_ipv4 {
            let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
            let from = link.ipv4().next().ok_or_else(none)?;
            socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(index))?;
            // By the address: by the index, Linux would speak on loopback from an address of another interface.
            socket.set_multicast_if_v4(&from)?;
            socket.set_multicast_ttl_v4(HOPS)?;
            socket.set_ttl_v4(HOPS)?;
        } else {
            socket.join_multicast_v6(&GROUP_V6, index)?;
            socket.set_multicast_if_v6(index)?;
            socket.set_multicast_hops_v6(HOPS)?;
            socket.set_unicast_hops_v6(HOPS)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            udp: UdpSocket::from_std(StdSocket::from(socket))?,
            link: link.clone(),
            group,
        })
    }

    /// The interface as it was when the group was joined.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.group.is_ipv4()
    }

    /// Says `message` to the group; an error when the interface does not carry it.
    pub(super) fn say(&self, message: &[u8]) -> io::Result<usize> {
        self.tell(message, self.group)
    }

    /// Says `message` to one of those who were heard.
    pub(super) fn tell(&self, message: &[u8], listener: SocketAddr) -> io::Result<usize> {
        // Past tokio: it would first wait to be told that the fresh socket can be written to.
        SockRef::from(&self.udp).send_to(message, &listener.into())
    }

    /// The next message that is no longer than a legal one: its length, and who said it.
    ///
    /// Losing the future loses nothing.
    pub(super) async fn hear(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|context| self.poll_hear(context, buffer)).await
    }

    /// The same for those who wait for several.
    pub(super) fn poll_hear(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        loop {
            let mut read = ReadBuf::new(buffer);
            let sender = ready!(self.udp.poll_recv_from(context, &mut read))?;
            let length = read.filled().len();
            if length < MESSAGE_MAX && self.is_of_here(sender.ip()) {
                return Poll::Ready(Ok((length, sender)));
            }
            tracing::trace!(%sender, length, "a datagram that is no message is ignored");
        }
    }

    /// What is heard on loopback was said by this machine. Where a socket hears more than the group, as beyond Linux, it
    /// may have been sent to another of its addresses by anybody.
    fn is_of_here(&self, sender: IpAddr) -> bool {
        !self.link.loopback || sender.is_loopback() || self.link.holds(sender)
    }
}

/// A socket that shares its port with whoever does so, too.
///
/// On Linux by `SO_REUSEADDR` alone. Sockets with `SO_REUSEPORT` are one group to it, whatever interface each has joined,
/// and from 6.6 on it hands what only one of them is to hear to any of them: the one on loopback would hear the network.
pub(super) fn listener(at: SocketAddr) -> io::Result<socket2::Socket> {
    let domain = Domain::for_address(at);
    let socket = socket2::Socket::new(domain, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    if !BINDS_TO_GROUP {
        socket.set_reuse_port(true)?;
    }
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Else Linux hands it what others have joined on other interfaces, from the moment that it is bound.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if at.is_ipv6() {
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    socket.bind(&at.into())?;
    Ok(socket)
}
