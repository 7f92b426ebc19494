//! What holds of every registry.

use std::collections::BTreeSet;

use shippy::registry::Instance;

use super::{Ground, all, all_become, instance, next, next_instance};
use crate::support::SOON;

pub(super) async fn an_announced_server_is_found_as_it_is(ground: &impl Ground) {
    let (server, client) = (ground.registry(), ground.registry());
    let announced = instance(50_051);
    server.announce(&announced).await.unwrap();
    let found = next_instance(&mut client.find(&announced.name)).await;
    assert_eq!(found, announced);
}

pub(super) async fn two_servers_of_one_service_are_both_found(ground: &impl Ground) {
    let one = instance(50_051);
    let two = Instance {
        name: one.name.clone(),
        ..instance(50_052)
    };
    let servers = [ground.registry(), ground.registry()];
    servers[0].announce(&one).await.unwrap();
    servers[1].announce(&two).await.unwrap();
    let client = ground.registry();
    let mut search = client.find(&one.name);
    let found = [
        next_instance(&mut search).await,
        next_instance(&mut search).await,
    ];
    let ids: BTreeSet<String> = found.into_iter().map(|found| found.id).collect();
    assert_eq!(ids, BTreeSet::from([one.id, two.id]));
}

pub(super) async fn a_server_of_another_service_is_not_found(ground: &impl Ground) {
    let server = ground.registry();
    let announced = instance(50_051);
    server.announce(&announced).await.unwrap();
    for other in [
        announced.name.to_uppercase(),
        format!("{}.b", announced.name),
        announced.name[..announced.name.len() - 1].to_owned(),
    ] {
        assert_eq!(all(&*ground.registry(), &other).await, [], "{other}");
    }
}

pub(super) async fn a_withdrawn_server_is_not_found_until_it_is_announced_again(
    ground: &impl Ground,
) {
    let (server, client) = (ground.registry(), ground.registry());
    let announced = instance(50_051);
    for _ in 0..2 {
        server.announce(&announced).await.unwrap();
        let found = next_instance(&mut client.find(&announced.name)).await;
        assert_eq!(found, announced);
        server.withdraw().await.unwrap();
        assert_eq!(all(&*client, &announced.name).await, []);
        server.withdraw().await.unwrap();
    }
}

pub(super) async fn what_is_announced_last_counts(ground: &impl Ground) {
    let (server, client) = (ground.registry(), ground.registry());
    let first = instance(50_051);
    let second = Instance {
        name: first.name.clone(),
        ..instance(50_052)
    };
    server.announce(&first).await.unwrap();
    server.announce(&second).await.unwrap();
    all_become(&*client, &first.name, &[second]).await;
}

pub(super) async fn withdrawing_what_was_never_announced_does_nothing(ground: &impl Ground) {
    ground.registry().withdraw().await.unwrap();
}

pub(super) async fn a_search_that_waits_sees_servers_come(ground: &impl Ground) {
    let one = instance(50_051);
    let two = Instance {
        name: one.name.clone(),
        ..instance(50_052)
    };
    let client = ground.registry();
    assert_eq!(all(&*client, &one.name).await, []);
    let mut search = client.find(&one.name);
    let servers = [ground.registry(), ground.registry()];
    for (server, late) in servers.iter().zip([one, two]) {
        // Not before the search is under way.
        let begun = tokio::time::timeout(super::NEVER, next(&mut search)).await;
        assert!(begun.is_err(), "{begun:?}");
        server.announce(&late).await.unwrap();
        assert_eq!(next_instance(&mut search).await, late);
    }
}

pub(super) async fn a_registry_that_is_dropped_withdraws(ground: &impl Ground) {
    let (server, client) = (ground.registry(), ground.registry());
    let announced = instance(50_051);
    server.announce(&announced).await.unwrap();
    next_instance(&mut client.find(&announced.name)).await;
    drop(server);
    let gone = async { while !all(&*client, &announced.name).await.is_empty() {} };
    tokio::time::timeout(SOON, gone).await.expect("it is gone");
}
