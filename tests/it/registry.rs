//! Registries: what holds of all of them, on the real thing, and what is special to each.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use shippy::registry::{Instance, Kind, Preference, Registry, RegistryError, mdns::Mdns};
use uuid::Uuid;

use crate::support::{SOON, shippy};

/// A test for each case of the contract on the given ground; ignored with the reason, if there is one.
macro_rules! contract_holds {
    ($ground:ty $(, $reason:literal)?) => {
        contract_holds!(@each $ground, [$($reason)?],
            an_announced_server_is_found_as_it_is,
            two_servers_of_one_service_are_both_found,
            a_server_of_another_service_is_not_found,
            a_withdrawn_server_is_not_found_until_it_is_announced_again,
            what_is_announced_last_counts,
            withdrawing_what_was_never_announced_does_nothing,
            a_search_that_waits_sees_servers_come,
            a_registry_that_is_dropped_withdraws,
        );
    };
    (@each $ground:ty, $reason:tt, $($case:ident),* $(,)?) => {
        $(contract_holds!(@one $ground, $reason, $case);)*
    };
    (@one $ground:ty, [$($reason:literal)?], $case:ident) => {
        #[tokio::test]
        $(#[ignore = $reason])?
        async fn $case() {
            $crate::registry::contract::$case(&<$ground as $crate::registry::Ground>::start()).await;
        }
    };
}
/// A test for each case of the contract of registries that are servers of their own, on the given one.
macro_rules! is_kept {
    ($service:ty, $reason:literal) => {
        is_kept!(@each $service, $reason,
            a_server_is_served_through_it_and_leaves_it,
            a_killed_server_is_forgotten_in_time,
            a_server_measures_whether_it_is_announced,
            a_server_comes_back_after_the_registry_was_away,
            a_server_comes_back_after_the_registry_lost_everything,
            a_registry_that_is_away_at_the_start_is_waited_for,
        );
    };
    (@each $service:ty, $reason:literal, $($case:ident),* $(,)?) => {
        $(
            #[test]
            #[ignore = $reason]
            fn $case() {
                $crate::registry::kept::$case::<$service>();
            }
        )*
    };
}
mod consul;
mod contract;
mod dns;
mod etcd;
mod kept;

/// How long to wait for what must not come. What is there comes in a hundredth of it.
const NEVER: Duration = Duration::from_millis(700);

/// Where registries of one kind meet.
trait Ground {
    fn start() -> Self;

    /// Another one's view of the same registry.
    fn registry(&self) -> Arc<dyn Registry>;
}

/// Multicast on loopback, on a port that only tests use.
struct Loopback;

impl Ground for Loopback {
    fn start() -> Self {
        Self
    }

    fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(Mdns::on_loopback(crate::mdns::PORT))
    }
}

mod mdns {
    contract_holds!(super::Loopback);
}

/// A server of a service that is its own.
fn instance(port: u16) -> Instance {
    let id = Uuid::now_v7().to_string();
    Instance {
        name: format!("test.{id}"),
        id,
        version: "0.1.0".to_owned(),
        addresses: vec![format!("127.0.0.1:{port}")],
        register: Uuid::now_v7().to_string(),
        kind: Kind::Single,
        tls: true,
        preference: Preference::default(),
    }
}

type Search = futures_util::stream::BoxStream<'static, Result<Instance, RegistryError>>;

/// What a search yields next.
async fn next(search: &mut Search) -> Result<Instance, RegistryError> {
    tokio::time::timeout(SOON, search.next())
        .await
        .unwrap_or_else(|_| panic!("nothing found within {SOON:?}"))
        .expect("a search does not end")
}

/// The next instance that a search yields, whatever it complains of before.
async fn next_instance(search: &mut Search) -> Instance {
    loop {
        if let Ok(instance) = next(search).await {
            return instance;
        }
    }
}

/// Whatever a search for `name` yields for a while.
async fn all(registry: &dyn Registry, name: &str) -> Vec<Instance> {
    let mut found = Vec::new();
    let mut search = registry.find(name);
    let collect = async {
        while let Some(result) = search.next().await {
            // A registry that is slow to answer is asked again.
            found.extend(result);
        }
    };
    tokio::time::timeout(NEVER, collect)
        .await
        .expect_err("a search does not end");
    found
}

/// Waits until that is `expected`.
async fn all_become(registry: &dyn Registry, name: &str, expected: &[Instance]) {
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let found = all(registry, name).await;
        if found == expected {
            return;
        }
        let is_early = tokio::time::Instant::now() < deadline;
        assert!(is_early, "{found:?}, not {expected:?}");
    }
}

/// A command for the service `name` in `registry`: its arguments, the authority to trust, if it is not empty, and the
/// registry's address.
fn command(home: &Path, registry: &str, name: &str) -> impl Fn(&[&str], &str, &str) -> Command {
    move |args, authority, address| {
        let mut command = shippy(home);
        command.args(args);
        command.args(["--name", name, "--registry", registry]);
        command.args(["--registry-address", address]);
        if !authority.is_empty() {
            command.args(["--registry-ca", authority]);
        }
        command
    }
}

/// A certificate for this machine, and its key, as two files in `folder`; it is its own authority.
fn certificate(folder: &Path, name: &str) -> [String; 2] {
    let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    [
        crate::cli::file(folder, &format!("{name}.pem"), made.cert.pem()),
        crate::cli::file(
            folder,
            &format!("{name}.key"),
            made.signing_key.serialize_pem(),
        ),
    ]
}
