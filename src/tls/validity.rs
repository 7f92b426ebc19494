//! How long certificates are good.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode as _;

/// What is left of a certificate's time when somebody has to be told, at most. One that is made for a few days is told
/// of when a fifth of its time is left: whatever renews it has had its chance by then.
const NOTICE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const NOTICE_PART: u32 = 5;

/// What to tell whoever looks after a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// It is not good now.
    NotGood(String),
    /// It is good, but not for much longer.
    EndsSoon(String),
}

impl fmt::Display for Complaint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotGood(text) | Self::EndsSoon(text)) = self;
        formatter.write_str(text)
    }
}

/// When a certificate is good (RFC 5280 §4.1.2.5), in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: u64,
    not_after: u64,
}

impl Validity {
    /// That of `certificate`; `None` where it is none.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate.validity;
        Some(Self {
            not_before: validity.not_before.to_unix_duration().as_secs(),
            not_after: validity.not_after.to_unix_duration().as_secs(),
        })
    }

    /// Its last second, since 1970.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// What to tell whoever looks after the certificate at the time `now`: that it is not good, or not for much longer.
    #[must_use]
    pub fn complaint(&self, now: SystemTime) -> Option<Complaint> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (from, until) = (
            Duration::from_secs(self.not_before),
            Duration::from_secs(self.not_after),
        );
        let notice = NOTICE.min(until.saturating_sub(from) / NOTICE_PART);
        if now > until {
            let when = distance(self.not_after);
            let text = format!("expired {when}, and clients refuse it: renew it");
            Some(Complaint::NotGood(text))
        } else if now < from {
            let when = distance(self.not_before);
            Some(Complaint::NotGood(format!(
                "is valid only {when}, and clients refuse it: set this machine's clock, or the one of the \
                          machine that made it"
            )))
        } else if now + notice >= until {
            let when = distance(self.not_after);
            Some(Complaint::EndsSoon(format!("expires {when}: renew it")))
        } else {
            None
        }
    }
}

/// How far a time, in seconds since 1970, is from now, for people.
#[must_use]
pub fn distance(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let apart = now.abs_diff(seconds);
    let (count, unit) = match apart {
        0..=7_199 => (apart / 60, "minute"),
        7_200..=172_799 => (apart / 3_600, "hour"),
        _ => (apart / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds <= now {
        format!("{count} {unit}{plural} ago")
    } else {
        format!("in {count} {unit}{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_certificate_says_when_it_is_good() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        let made = params.self_signed(&key).unwrap();
        let validity = Validity::of(made.der()).unwrap();
        assert_eq!(validity.not_before, 978_307_200);
        assert_eq!(validity.not_after - validity.not_before, 365 * DAY);
        assert_eq!(
            Validity::of(&CertificateDer::from_slice(b"no certificate")),
            None
        );
    }

    #[test]
    fn one_is_told_before_it_is_too_late() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        // Days from now on, somewhat more, and what is said of it.
        for (from, until, said) in [
            (-300, 15, None),
            (-300, 13, Some((true, "expires in 13 days"))),
            (-4, 2, None),
            (-5, 1, Some((true, "expires in 24 hours"))),
            (-300, -3, Some((false, "expired 2 days ago"))),
            (3, 300, Some((false, "is valid only in 3 days"))),
        ] {
            let at = |days: i64| {
                (now.as_secs() + 600)
                    .checked_add_signed(days * DAY.cast_signed())
                    .unwrap()
            };
            let validity = Validity {
                not_before: at(from),
                not_after: at(until),
            };
            let complaint = validity.complaint(UNIX_EPOCH + now);
            match said {
                None => assert_eq!(complaint, None, "{from} {until}"),
                Some((is_good, said)) => {
                    let complaint = complaint.unwrap();
                    let is_soon = matches!(complaint, Complaint::EndsSoon(_));
                    assert_eq!(is_soon, is_good, "{complaint:?}");
                    assert!(complaint.to_string().starts_with(said), "{complaint:?}");
                }
            }
        }
    }

    #[test]
    fn a_time_is_told_by_its_distance() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert_eq!(distance(now - 61), "1 minute ago");
        assert_eq!(distance(now - 3 * 3_600 - 5), "3 hours ago");
        assert_eq!(distance(now + 30 * 86_400 + 500), "in 30 days");
    }
}
