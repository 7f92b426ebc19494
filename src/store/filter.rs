//! Which consignments a scan is after.

use super::texts::{Kind, MalformedBody, each_text};

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

    /// Whether a record meets it that was stored at `created_at`, in microseconds since the Unix epoch, with this body.
    ///
    /// # Errors
    ///
    /// When the body is no consignment, and a condition asks what it holds.
    pub fn admits(&self, created_at: i64, body: &[u8]) -> Result<bool, MalformedBody> {
        if self.created_from.is_some_and(|from| created_at < from)
            || self.created_until.is_some_and(|until| created_at >= until)
        {
            return Ok(false);
        }
        let mut is_met = self.texts().map(|(_, wanted)| wanted.is_none());
        if is_met != [true; 4] {
            each_text(body, |kind, text| {
                for (is_met, (of, wanted)) in is_met.iter_mut().zip(self.texts()) {
                    *is_met |= of == kind && wanted == Some(text);
                }
            })?;
        }
        Ok(is_met == [true; 4])
    }

    /// Which text each condition wants, if it is set.
    pub(super) fn texts(&self) -> [(Kind, Option<&str>); 4] {
        [
            (Kind::Vessel, self.vessel_id.as_deref()),
            (Kind::Customer, self.customer_id.as_deref()),
            (Kind::User, self.user_id.as_deref()),
            (Kind::Origin, self.origin.as_deref()),
        ]
    }
}
