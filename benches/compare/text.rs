//! Figures as text.

use std::time::Duration;

/// Exact up to 2^53, far above any figure here.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn as_f64(number: u64) -> f64 {
    number as f64
}

/// `number` without what is behind its point; it is not negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// `part` of `whole`.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    as_f64(part) / as_f64(whole)
}

/// `1,234,567`, rounded.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        let is_place = at > 0 && (digits.len() - at).is_multiple_of(3);
        if is_place && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1,234,567/s`
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", count(per_second))
}

/// Microseconds below a millisecond, milliseconds below a second.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", ratio(bytes, 1024 * 1024))
}
