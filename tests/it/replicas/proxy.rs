//! A second door to a server, which can be shut: to a client it is another server of the same register.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::support::free_address;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// They are passed on.
    Open,
    /// They are accepted, and nothing passes any more, either way: as with a process that has stopped.
    Stuck,
    /// They are closed, and new ones refused: as with a process that was killed.
    Shut,
}

/// A proxy before a server.
pub(super) struct Proxy {
    pub(super) address: String,
    door: watch::Sender<Door>,
}

impl Proxy {
    pub(super) async fn before(server: SocketAddr) -> Self {
        // While it is shut nobody else is to get the port.
        let listener = TcpListener::bind(free_address()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (door, opened) = watch::channel(Door::Open);
        tokio::spawn(serve(listener, server, opened));
        Self {
            address: address.to_string(),
            door,
        }
    }

    pub(super) fn set(&self, door: Door) {
        self.door.send_replace(door);
    }
}

/// Ends with the proxy.
async fn serve(mut listener: TcpListener, server: SocketAddr, mut door: watch::Receiver<Door>) {
    let address = listener.local_addr().unwrap();
    loop {
        let shut = async { door.wait_for(|door| *door == Door::Shut).await.map(drop) };
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                tokio::spawn(pass(stream, server, door.clone()));
            }
            shut = shut => {
                drop(listener);
                if shut.is_err() || door.wait_for(|door| *door != Door::Shut).await.is_err() {
                    return;
                }
                listener = TcpListener::bind(address).await.unwrap();
            }
        }
    }
}

async fn pass(near: TcpStream, server: SocketAddr, mut door: watch::Receiver<Door>) {
    let Ok(far) = TcpStream::connect(server).await else {
        return;
    };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_in, far_out, door.clone()) => {}
        () = pump(far_in, near_out, door.clone()) => {}
        _ = door.wait_for(|door| *door == Door::Shut) => {}
    }
}

/// Until one of the two sides is gone.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut door: watch::Receiver<Door>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut buffer).await
        && length > 0
        && door.wait_for(|door| *door == Door::Open).await.is_ok()
        && to.write_all(&buffer[..length]).await.is_ok()
    {}
}
