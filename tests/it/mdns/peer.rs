//! The crate `mdns-sd`, a browser and responder that others made: it finds our servers, and our clients find what it
//! announces as ours is.

use std::collections::HashMap;

use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use shippy::registry::{Registry, mdns::Mdns};

use super::{PORT, SOON, first, instance};

const SERVICE: &str = "_shippy._tcp.local.";

/// It, on loopback.
fn peer() -> ServiceDaemon {
    let peer = ServiceDaemon::new_with_port(PORT).unwrap();
    peer.disable_interface(IfKind::All).unwrap();
    peer.enable_interface(IfKind::LoopbackV4).unwrap();
    peer
}

/// The server of this id, as a browser comes to know it.
fn resolved(events: &Receiver<ServiceEvent>, id: &str) -> Box<ResolvedService> {
    loop {
        let event = events.recv_timeout(SOON).expect("an event soon");
        if let ServiceEvent::ServiceResolved(found) = event
            && found.get_property_val_str("id") == Some(id)
        {
            return found;
        }
    }
}

#[tokio::test]
async fn a_browser_that_others_made_sees_a_server_come_and_go() {
    let peer = peer();
    let events = peer.browse(SERVICE).unwrap();
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let found = resolved(&events, &announced.id);
    assert_eq!(found.get_port(), 50051);
    let addresses: Vec<String> = (found.get_addresses().iter())
        .map(|address| address.to_ip_addr().to_string())
        .collect();
    assert_eq!(addresses, ["127.0.0.1"]);
    server.withdraw().await.unwrap();
    loop {
        let event = events.recv_timeout(SOON).expect("an event soon");
        if let ServiceEvent::ServiceRemoved(_, name) = event
            && name == found.get_fullname()
        {
            break;
        }
    }
    peer.shutdown().unwrap().recv().unwrap();
}

#[tokio::test]
async fn what_others_announce_as_a_server_is_found() {
    // What a server of ours says of itself, as the peer has heard it.
    let peer = peer();
    let events = peer.browse(SERVICE).unwrap();
    let server = Mdns::on_loopback(PORT);
    let announced = instance(&["127.0.0.1:50051"]);
    server.announce(&announced).await.unwrap();
    let heard = resolved(&events, &announced.id);
    server.withdraw().await.unwrap();
    let text: HashMap<String, String> = (heard.get_properties().iter())
        .map(|pair| (pair.key().to_owned(), pair.val_str().to_owned()))
        .collect();
    let again = ServiceInfo::new(
        SERVICE,
        "of-others",
        "of-others.local.",
        "127.0.0.1",
        50051,
        text,
    );
    peer.register(again.unwrap()).unwrap();
    let found = first(&Mdns::on_loopback(PORT), &announced.name).await;
    assert_eq!(found.unwrap(), announced);
    peer.shutdown().unwrap().recv().unwrap();
}
