//! The consignments that are measured with: two containers each, 354 bytes encoded with their id, seven texts that can
//! be listed by.

use shippy::{
    consignment,
    proto::{Consignment, Container},
};

/// Ships that all consignments are spread over evenly.
pub(crate) const VESSELS: u64 = 1_000;
const CUSTOMERS: u64 = 20_000;
const USERS: u64 = 500;
const ORIGINS: [&str; 5] = [
    "Manchester, United Kingdom",
    "Rotterdam, The Netherlands",
    "Gdynia, Republic of Poland",
    "Valparaiso, Región V, Chile",
    "Port Elizabeth, New Jersey",
];

/// The `number`th consignment, under `id`.
pub(crate) fn consignment(number: u64, id: String) -> Consignment {
    Consignment {
        id,
        description: format!(
            "Palletised household goods, shrink-wrapped, order {number:012}: keep dry, keep upright, do not stack \
             more than two pallets high"
        ),
        weight: i32::try_from(500 + pick(number, 1, 20_000)).unwrap_or_default(),
        containers: vec![container(number, 2), container(number, 3)],
        vessel_id: vessel(pick(number, 4, VESSELS)),
        ..Consignment::default()
    }
}

/// The name of a ship, of which there are [`VESSELS`].
pub(crate) fn vessel(number: u64) -> String {
    format!("vessel-{number:04}")
}

fn container(number: u64, salt: u64) -> Container {
    let origin = usize::try_from(pick(number, salt + 10, ORIGINS.len() as u64)).unwrap_or_default();
    Container {
        id: format!("MSKU{:07}", pick(number, salt + 20, 10_000_000)),
        customer_id: format!("customer-{:06}", pick(number, salt + 30, CUSTOMERS)),
        user_id: format!("user-{:04}@depot.example", pick(number, salt + 40, USERS)),
        origin: ORIGINS[origin].into(),
    }
}

/// One of `of` numbers, the same each time for the same arguments, spread evenly.
fn pick(number: u64, salt: u64, of: u64) -> u64 {
    mixed(number ^ (salt << 48)) % of
}

/// The last step of `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// How a sender makes ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// UUIDv7, as `shippy create` and the server do.
    Time,
    /// One UUIDv7 with a count behind, as a resumable load has them.
    Batch,
    /// UUIDv4 and the like.
    Random,
}

impl Ids {
    pub(crate) const ALL: [Self; 3] = [Self::Time, Self::Batch, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Time => "UUIDv7 ids",
            Self::Batch => "batch ids",
            Self::Random => "random ids",
        }
    }

    /// The id of the `count`th consignment of a run that is named `run`.
    pub(crate) fn make(self, run: &str, count: u64) -> String {
        match self {
            Self::Time => consignment::new_id(),
            Self::Batch => format!("{run}-{count:08}"),
            Self::Random => {
                let seed = run
                    .bytes()
                    .fold(count, |seed, byte| mixed(seed ^ u64::from(byte)));
                uuid::Uuid::from_u64_pair(mixed(seed), mixed(!seed)).to_string()
            }
        }
    }
}
