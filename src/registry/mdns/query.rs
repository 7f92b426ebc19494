//! The one-shot query (RFC 6762 §5.1): asked by multicast from a port of its own, answered by unicast (§6.7).
//!
//! A responder multicasts an answer at most once a second on an interface, so whoever asks right after somebody else
//! would wait that long. A unicast answer is not limited, and takes a few milliseconds.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket as StdSocket},
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{io::ReadBuf, net::UdpSocket};

use super::{
    found::Sighting,
    group::{GROUP_V4, GROUP_V6, HOPS, MEMBERS_MAX, MESSAGE_MAX},
    interfaces::Link,
    message,
};

/// How often to read from a socket that reports errors before turning to the next.
const RECEIVE_ATTEMPTS: u32 = 4;
/// A question under way: a socket for each address to ask from.
#[derive(Debug)]
pub(super) struct Query {
    id: u16,
    port: u16,
    sockets: Vec<Socket>,
    /// Which is asked first for a reply: each in turn, or a flood on one interface would drown the others.
    first: usize,
}

/// A socket to ask from.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) udp: UdpSocket,
    /// The address that it is bound to, whereby it hears what is sent to that address alone.
    from: IpAddr,
    /// The interface that it asks on.
    link: u32,
    group: SocketAddr,
}

impl Query {
    /// A query to be sent to the multicast DNS port `port`.
    pub(super) fn new(port: u16) -> Self {
        Self {
            id: message::chance(),
            port,
            sockets: Vec::new(),
            first: 0,
        }
    }

    /// Asks on each of `links`. The number of questions that went out.
    pub(super) fn ask(&mut self, links: &[Link]) -> usize {
        self.follow(links);
        let question = match message::question(self.id) {
            Ok(question) => question,
            Err(error) => {
                tracing::debug!(%error, "could not write the question");
                return 0;
            }
        };
        let sent = (self.sockets.iter()).filter(|socket| socket.send(&question).is_ok());
        sent.count()
    }

    /// Opens a socket for each address of `links` that has none and closes those whose address is gone.
    fn follow(&mut self, links: &[Link]) {
        let wanted = links.iter().flat_map(|link| {
            let v6 = link.ipv6().map(IpAddr::V6);
            link.ipv4()
                .map(IpAddr::V4)
                .chain(v6)
                .map(|from| (from, link.index))
        });
        let wanted: Vec<(IpAddr, u32)> = wanted.take(MEMBERS_MAX).collect();
        self.sockets
            .retain(|socket| wanted.contains(&(socket.from, socket.link)));
        for (from, link) in wanted {
            if self
                .sockets
                .iter()
                .any(|socket| (socket.from, socket.link) == (from, link))
            {
                continue;
            }
            match Socket::open(from, link, self.port) {
                Ok(socket) => self.sockets.push(socket),
                Err(error) => tracing::debug!(%from, %error, "could not open a socket to ask from"),
            }
        }
    }

    /// Waits for the next reply and returns the instances that it describes: none, when it is of no use. `links` are those
    /// that were asked on.
    ///
    /// Losing the future loses nothing. It never ends while there is no socket.
    pub(super) async fn replies(&mut self, buffer: &mut [u8], links: &[Link]) -> Vec<Sighting> {
        let (socket, length, sender) =
            std::future::poll_fn(|context| self.poll(context, buffer)).await;
        let link = self.sockets[socket].link;
        let is_near = |asked: &Link| asked.index == link && asked.is_near(sender.ip());
        // RFC 6762 §11: what is sent to one alone may come from anywhere.
        if sender.port() != self.port || length >= MESSAGE_MAX || !links.iter().any(is_near) {
            tracing::trace!(%sender, length, "a datagram that is no reply is ignored");
            return Vec::new();
        }
        let answers = message::answers(Some(self.id), &buffer[..length]);
        answers
            .into_iter()
            .map(|answer| answer.heard_on(link))
            .collect()
    }

    /// The next datagram: on which socket, how long, from whom.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<(usize, usize, SocketAddr)> {
        let count = self.sockets.len();
        for index in (self.first..self.first + count).map(|at| at % count) {
            let socket = &self.sockets[index];
            let mut read = ReadBuf::new(buffer);
            // An error is an earlier question's (ICMP unreachable): the socket lives on.
            for _ in 0..RECEIVE_ATTEMPTS {
                match socket.udp.poll_recv_from(context, &mut read) {
                    Poll::Ready(Ok(sender)) => {
                        self.first = index + 1;
                        return Poll::Ready((index, read.filled().len(), sender));
                    }
                    Poll::Ready(Err(error)) => tracing::trace!(%error, "could not receive"),
                    Poll::Pending => break,
                }
            }
        }
        Poll::Pending
    }
}

impl Socket {
    /// A socket that asks from the address `from` on the interface `link`.
    ///
    /// It is bound to that address: one of loopback then hears nothing from the network, which is what makes "heard on
    /// loopback" true, and no datagram for the group reaches it.
    pub(super) fn open(from: IpAddr, link: u32, port: u16) -> io::Result<Self> {
        let (local, group) = match from {
            IpAddr::V4(_) => (SocketAddr::new(from, 0), SocketAddr::from((GROUP_V4, port))),
            IpAddr::V6(ip) => (
                SocketAddrV6::new(ip, 0, 0, if ip.is_unicast_link_local() { link } else { 0 })
                    .into(),
                SocketAddrV6::new(GROUP_V6, port, 0, link).into(),
            ),
        };
        let udp = StdSocket::bind(local)?;
        udp.set_nonblocking(true)?;
        let options = SockRef::from(&udp);
        match from {
            IpAddr::V4(ip) => {
                options.set_multicast_if_v4(&ip)?;
                options.set_multicast_ttl_v4(HOPS)?;
                options.set_multicast_loop_v4(true)?;
            }
            IpAddr::V6(_) => {
                options.set_multicast_if_v6(link)?;
                options.set_multicast_hops_v6(HOPS)?;
                options.set_multicast_loop_v6(true)?;
            }
        }
        Ok(Self {
            udp: UdpSocket::from_std(udp)?,
            from,
            link,
            group,
        })
    }

    /// Sends `question` to the group; an error when the interface does not carry it.
    pub(super) fn send(&self, question: &[u8]) -> io::Result<usize> {
        // Past tokio: it would first wait to be told that the fresh socket can be written to.
        let sent = SockRef::from(&self.udp).send_to(question, &self.group.into());
        sent.inspect_err(|error| tracing::debug!(from = %self.from, %error, "could not ask"))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr};

    use super::*;

    const PORT: u16 = 25_359;
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A query with two sockets on loopback, and where they hear.
    fn query() -> (Query, [SocketAddr; 2]) {
        let mut query = Query::new(PORT);
        let places = [1, 2].map(|link| {
            let socket = Socket::open(LOOPBACK, link, PORT).unwrap();
            let place = socket.udp.local_addr().unwrap();
            query.sockets.push(socket);
            place
        });
        (query, places)
    }

    #[tokio::test]
    async fn a_flood_on_one_socket_does_not_drown_another() {
        let (mut query, places) = query();
        let flood = StdSocket::bind((LOOPBACK, 0)).unwrap();
        for _ in 0..3 {
            for place in places {
                flood.send_to(b"", place).unwrap();
            }
        }
        let mut heard = Vec::new();
        for _ in 0..4 {
            heard.push(poll_fn(|context| query.poll(context, &mut [0; 9])).await.0);
        }
        assert_eq!(heard, [0, 1, 0, 1]);
    }
}
