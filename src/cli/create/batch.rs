//! The ids of records that have none of their own.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Most records that one batch has an id for.
pub(super) const MAX_RECORDS: u64 = 0xffff_ffff;
/// The bits of a batch's ids that tell its records apart; in the batch's own they are 0.
const NUMBERS: u128 = 0xffff_ffff;

/// One run's name for what it stores. A record without an id gets one that is made of it and the record's place among
/// those without, so that the same record gets the same id whenever the batch is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch(Uuid);

impl Batch {
    /// A batch that nobody has begun. It is a UUIDv7 that ends in a counter (RFC 9562 §6.2, method 1), so that ids grow
    /// with time and from record to record, which is what a unique index takes best. The 42 random bits that are left
    /// tell it from others of the same millisecond.
    pub(super) fn new() -> Self {
        Self(Uuid::from_u128(Uuid::now_v7().as_u128() & !NUMBERS))
    }

    /// The id of the record that is the `number`-th without one of its own, from 1 to [`MAX_RECORDS`].
    pub(super) fn id(self, number: u64) -> String {
        Uuid::from_u128(self.0.as_u128() | (u128::from(number) & NUMBERS)).to_string()
    }

    /// The number of the record whose id this batch made.
    pub(super) fn number(self, id: &str) -> Option<u64> {
        let number = u64::try_from(Uuid::try_parse(id).ok()?.as_u128() & NUMBERS).ok()?;
        (number > 0 && self.id(number) == id).then_some(number)
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Uuid::try_parse(text)
            .ok()
            .filter(|uuid| uuid.as_u128() & NUMBERS == 0)
            .map(Self)
            .ok_or_else(|| {
                "a batch is a UUID that ends in 00000000, as a `shippy create` that does not finish prints it"
                    .into()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consignment::id_problem;

    #[test]
    fn an_id_leads_back_to_its_number_in_its_batch_only() {
        let (batch, other) = (Batch::new(), Batch::new());
        for number in [1, 42, 99_999_999, 100_000_000, MAX_RECORDS] {
            let id = batch.id(number);
            assert_eq!(id_problem(&id), None);
            assert_eq!(batch.number(&id), Some(number));
            assert_eq!(other.number(&id), None);
        }
        let upper = batch.id(10).to_uppercase();
        for id in ["", "tea-1", &upper, &batch.to_string()] {
            assert_eq!(batch.number(id), None, "{id}");
        }
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7() {
        let id: Uuid = Batch::new().id(MAX_RECORDS).parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn a_batch_is_read_as_it_is_printed() {
        let batch = Batch::new();
        assert_eq!(batch.to_string().parse(), Ok(batch));
        for text in ["", "tea", &batch.id(1)] {
            assert!(text.parse::<Batch>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_sort_as_their_records_stand() {
        let batch = Batch::new();
        assert!(batch.id(9) < batch.id(10) && batch.id(99_999) < batch.id(100_000));
        assert!(batch.id(MAX_RECORDS - 1) < batch.id(MAX_RECORDS));
    }
}
