//! Which consignments a scan is after.

use prost::{DecodeError, Message as _};

use super::StoredConsignment;
use crate::proto::Consignment;

/// Conditions that a consignment must all meet; none of them set, every one does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// It is on this vessel.
    pub vessel_id: Option<String>,
    /// It has a container of this customer.
    pub customer_id: Option<String>,
    /// It has a container that this user recorded.
    pub user_id: Option<String>,
    /// It has a container of this origin.
    pub origin: Option<String>,
    /// It was stored at this time or later, in microseconds since the Unix epoch.
    pub created_from: Option<i64>,
    /// It was stored before this time, in microseconds since the Unix epoch.
    pub created_until: Option<i64>,
}

impl Filter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `record` meets it.
    ///
    /// # Errors
    ///
    /// When the record's body is no consignment, and a condition asks what it holds.
    pub fn admits(&self, record: &StoredConsignment) -> Result<bool, DecodeError> {
        let created_at = record.receipt.created_at;
        if self.created_from.is_some_and(|from| created_at < from)
            || self.created_until.is_some_and(|until| created_at >= until)
        {
            return Ok(false);
        }
        let texts = [
            &self.vessel_id,
            &self.customer_id,
            &self.user_id,
            &self.origin,
        ];
        if texts.iter().all(|text| text.is_none()) {
            return Ok(true);
        }
        Ok(self.admits_texts(&Consignment::decode(record.body.clone())?))
    }

    fn admits_texts(&self, consignment: &Consignment) -> bool {
        let is_met =
            |wanted: &Option<String>, has: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(has);
        let containers = &consignment.containers;
        is_met(&self.vessel_id, &|id| consignment.vessel_id == id)
            && is_met(&self.customer_id, &|id| {
                containers.iter().any(|one| one.customer_id == id)
            })
            && is_met(&self.user_id, &|id| {
                containers.iter().any(|one| one.user_id == id)
            })
            && is_met(&self.origin, &|place| {
                containers.iter().any(|one| one.origin == place)
            })
    }
}
