//! `GET /v1/vessels`: what each vessel carries, over the whole register.
//!
//! Nobody pays for it who does not ask. The first to ask has the register added up, about as fast as it can be listed;
//! whoever asks later has what was stored since added to that.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Uri;
use prost::Message as _;
use serde::{Serialize, Serializer};
use tokio::{sync::Mutex, time::Instant};
use tonic::{Request, Status};

use super::{
    Site,
    problem::{Field, Problem},
};
use crate::proto::{ListRequest, Position, shipping_service_server::ShippingService};

/// Vessels that are told apart, and what their names may take in all, in bytes: those of most depots are a few hundred.
const VESSELS: usize = 10_000;
const NAME_BYTES: usize = 4 * 1024 * 1024;
/// How long one request adds up before it answers with what there is: its caller is to see that it gets on.
const ADDING_UP: Duration = Duration::from_secs(1);
/// Vessels in an answer where the caller does not say how many, and at most.
const LISTED: usize = 100;
const MOST_LISTED: usize = 1_000;

/// What was added up so far.
#[derive(Default)]
pub(super) struct Totals(Mutex<Sums>);

#[derive(Default)]
struct Sums {
    /// The consignments up to this sequence number are in.
    through: u64,
    vessels: HashMap<String, Sum>,
    name_bytes: usize,
    /// Of the vessels past those that are told apart.
    beyond: Sum,
}

/// Consignments and their weight.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Sum {
    #[serde(serialize_with = "as_text")]
    count: u64,
    /// In kilograms.
    #[serde(serialize_with = "as_text")]
    weight: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.weight = self.weight.saturating_add(other.weight);
    }
}

/// What is read of a consignment; its other fields are passed over, which takes a fraction of decoding them.
#[derive(prost::Message)]
struct Carried {
    #[prost(int32, tag = "3")]
    weight: i32,
    #[prost(bytes = "bytes", tag = "5")]
    vessel_id: Bytes,
}

#[derive(Debug, Serialize)]
struct Document<'d> {
    register: &'d str,
    #[serde(serialize_with = "as_text")]
    through_sequence: u64,
    /// Whether all that was stored before the request is in.
    is_complete: bool,
    vessels: Vec<Vessel<'d>>,
    others: Others,
}

#[derive(Debug, Serialize)]
struct Vessel<'d> {
    vessel_id: &'d str,
    #[serde(flatten)]
    sum: Sum,
}

/// The vessels that are not listed.
#[derive(Debug, Serialize)]
struct Others {
    #[serde(serialize_with = "as_text")]
    vessels: u64,
    /// Whether that is how many there are, and not how many there are at least.
    is_exact: bool,
    #[serde(flatten)]
    sum: Sum,
}

/// 64-bit numbers are texts, as proto3 JSON has them.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

pub(super) async fn vessels<S: ShippingService>(
    State(site): State<Arc<Site<S>>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let limit = limit(uri.query().unwrap_or_default())?;
    let mut sums = site.totals.0.lock().await;
    let caught_up = sums.catch_up(&site.service).await;
    let is_complete = caught_up.map_err(|status| Problem::from(&status))?;
    Ok(Json(sums.document(&site.register, is_complete, limit)).into_response())
}

fn limit(query: &str) -> Result<usize, Problem> {
    let wrong = |name: &str, description: String| {
        let fields = vec![Field::new(name, description)];
        Err(Problem::bad_request("the query makes no sense", fields))
    };
    let mut limit = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "limit" {
            return wrong(&name, "is no parameter of vessels; there is limit".into());
        }
        let number = value.parse().ok().filter(|n| (1..=MOST_LISTED).contains(n));
        if number.is_none() || limit.is_some() {
            return wrong(&name, format!("is one number from 1 to {MOST_LISTED}"));
        }
        limit = number;
    }
    Ok(limit.unwrap_or(LISTED))
}

impl Sums {
    /// Adds what was stored since; whether that was all of it.
    async fn catch_up(&mut self, service: &impl ShippingService) -> Result<bool, Status> {
        let until = Instant::now() + ADDING_UP;
        let after = Position {
            register: String::new(),
            sequence: self.through,
        };
        let request = ListRequest {
            after: Some(after),
            ..ListRequest::default()
        };
        let chunks = service.list_consignments(Request::new(request)).await?;
        let mut chunks = pin!(chunks.into_inner());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            let carried: Result<Vec<_>, _> =
                chunk.consignments.iter().map(Carried::decode).collect();
            let damaged = |_| Status::data_loss("the register is damaged: see the server's log");
            for one in carried.map_err(damaged)? {
                self.add(&one);
            }
            // With the chunk's last: whoever goes away while more is read has added it wholly.
            self.through = chunk.through_sequence;
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, carried: &Carried) {
        let sum = Sum {
            count: 1,
            weight: u64::try_from(carried.weight).unwrap_or(0),
        };
        let name = String::from_utf8_lossy(&carried.vessel_id);
        if let Some(known) = self.vessels.get_mut(&*name) {
            known.add(sum);
        } else if self.vessels.len() < VESSELS && self.name_bytes + name.len() <= NAME_BYTES {
            self.name_bytes += name.len();
            self.vessels.insert(name.into_owned(), sum);
        } else {
            self.beyond.add(sum);
        }
    }

    /// The heaviest laden vessels, at most `limit`.
    fn document<'d>(&'d self, register: &'d str, is_complete: bool, limit: usize) -> Document<'d> {
        let mut vessels: Vec<_> = (self.vessels.iter())
            .map(|(vessel_id, &sum)| Vessel { vessel_id, sum })
            .collect();
        let heaviest = |one: &Vessel| {
            (
                std::cmp::Reverse((one.sum.weight, one.sum.count)),
                one.vessel_id.to_owned(),
            )
        };
        vessels.sort_by_cached_key(heaviest);
        let rest = vessels.split_off(limit.min(vessels.len()));
        let mut sum = self.beyond;
        for one in &rest {
            sum.add(one.sum);
        }
        Document {
            register,
            through_sequence: self.through,
            is_complete,
            vessels,
            others: Others {
                vessels: rest.len() as u64 + u64::from(self.beyond.count > 0),
                is_exact: self.beyond.count == 0,
                sum,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(weight: i32, vessel_id: &str) -> Carried {
        let vessel_id = Bytes::copy_from_slice(vessel_id.as_bytes());
        Carried { weight, vessel_id }
    }

    #[test]
    fn the_heaviest_are_listed_and_the_rest_is_summed() {
        let mut sums = Sums::default();
        for (weight, vessel) in [
            (5, "b"),
            (1, "c"),
            (5, "a"),
            (2, "c"),
            (i32::MAX, ""),
            (0, "d"),
        ] {
            sums.add(&carried(weight, vessel));
        }
        let document = sums.document("r", true, 3);
        let listed: Vec<_> = (document.vessels.iter())
            .map(|one| (one.vessel_id, one.sum.count, one.sum.weight))
            .collect();
        assert_eq!(listed, [("", 1, 2_147_483_647), ("a", 1, 5), ("b", 1, 5)]);
        let Others {
            vessels,
            is_exact,
            sum,
        } = document.others;
        assert_eq!((vessels, is_exact), (2, true));
        assert_eq!(
            sum,
            Sum {
                count: 3,
                weight: 3
            }
        );
    }

    #[test]
    fn so_many_vessels_are_told_apart_and_none_is_left_out() {
        let mut sums = Sums::default();
        for number in 0..VESSELS + 2 {
            sums.add(&carried(1, &number.to_string()));
        }
        sums.add(&carried(1, "7"));
        assert_eq!(sums.vessels.len(), VESSELS);
        let Document {
            vessels, others, ..
        } = sums.document("r", true, 1);
        assert_eq!(vessels[0].vessel_id, "7");
        assert_eq!((others.vessels, others.is_exact), (VESSELS as u64, false));
        assert_eq!(others.sum.count, VESSELS as u64 + 1);

        let mut sums = Sums::default();
        for number in 0..1_100 {
            sums.add(&carried(1, &format!("{number:04096}")));
        }
        assert!(sums.name_bytes <= NAME_BYTES && sums.beyond.count > 0);
    }
}
