//! What is measured of a server beside its connections and requests.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{calls::Calls, tls::Tls};
use crate::{
    metrics::gauge,
    registry,
    store::{Condition, Store},
};

/// Registers what can be read of `store` and of the program, which is of `version`.
pub(super) fn register(registry: &mut Registry, store: &dyn Store, version: &str) {
    let newest = store.newest();
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let records = move || Some(*newest.borrow() as f64);
    gauge(
        registry,
        "shippy_register_records",
        "Consignments in the register, as far as this server knows",
        records,
    );
    let condition = store.condition();
    let writes = move || Some(f64::from(u8::from(*condition.borrow() == Condition::Good)));
    gauge(
        registry,
        "shippy_store_writes",
        "1 while the store takes writes, 0 while it is away or has stopped writing",
        writes,
    );
    store.measure(registry);
    let build = Family::<[(&'static str, String); 1], Gauge>::default();
    (build.get_or_create(&[("version", version.to_owned())])).set(1);
    registry.register("shippy_build_info", "1, with the version that runs", build);
    let begun = SystemTime::now().duration_since(UNIX_EPOCH);
    let begun = begun.map_or(0.0, |since| since.as_secs_f64());
    gauge(
        registry,
        "process_start_time_seconds",
        "When the server began, in seconds since the Unix epoch",
        move || Some(begun),
    );
}

/// Registers when the certificate ends that is shown now.
pub(super) fn register_certificate(registry: &mut Registry, tls: Arc<Tls>) {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let not_after = move || tls.get().not_after.map(|seconds| seconds as f64);
    gauge(
        registry,
        "shippy_tls_certificate_not_after_timestamp_seconds",
        "When the server's certificate ends, in seconds since the Unix epoch",
        not_after,
    );
}

/// What is counted where it happens.
pub(super) struct Measured {
    pub(super) calls: Calls,
    /// 1 once the registry has taken the announcement, until that is withdrawn.
    pub(super) announced: Gauge,
    /// Lists that are followed.
    pub(super) followers: Gauge,
}

impl Measured {
    /// `meeting` is where the server is announced.
    pub(super) fn new(registry: &mut Registry, meeting: &Arc<dyn registry::Registry>) -> Self {
        let (announced, followers) = (Gauge::default(), Gauge::default());
        // The metrics outlive the server's announcement, and are not to keep it.
        let (told, meeting) = (announced.clone(), Arc::downgrade(meeting));
        let stands = move || {
            let stands = meeting.upgrade()?.stands();
            Some(f64::from(u8::from(stands.unwrap_or(told.get() == 1))))
        };
        gauge(
            registry,
            "shippy_announced",
            "1 while the registry has taken the server's announcement, as far as the server knows",
            stands,
        );
        registry.register(
            "shippy_followers",
            "Lists that are followed at the moment",
            followers.clone(),
        );
        Self {
            calls: Calls::new(registry),
            announced,
            followers,
        }
    }
}
