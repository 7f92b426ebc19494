//! Lengths of time, as people write them.

use std::time::Duration;

/// Longer than anybody waits, and short enough to be added to any time.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Older than any consignment: 1,000 years.
const OLDEST: Duration = Duration::from_secs(1_000 * 365 * 24 * 60 * 60);

/// How long something takes: `30s`, `500ms`, `1m30s`, as Go writes it; a plain number is seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => Some(seconds),
        Err(_) => seconds(text),
    };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or_else(|| {
            "write seconds, like 30, or a time, like 500ms, 30s or 1m30s, above 0 and at most a day"
                .into()
        })
}

/// How long ago something was: `90s`, `2h`, `1d12h`. A number without a unit is not a time to most people.
pub(super) fn parse_age(text: &str) -> Option<Duration> {
    seconds(text)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|age| *age <= OLDEST)
}

/// The seconds in numbers, each with its unit.
fn seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, tail) = rest.split_at(unit_at);
        let next_at = tail
            .find(|char: char| char.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(next_at);
        seconds += number.parse::<f64>().ok()?
            * match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = tail;
    }
    (!text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_seconds_or_numbers_with_units() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("1.5", 1_500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h0m0s", 3_600_000),
            ("1d", 86_400_000),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
        }
        for text in [
            "", "0", "-1", "-1s", "s", "5x", "5s5", "NaN", "inf", "25h", "2d", "1e300",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(parse_age("3d"), Some(Duration::from_secs(3 * 86_400)));
        assert_eq!(parse_age("1d12h"), Some(Duration::from_secs(129_600)));
        assert_eq!(parse_age("0s"), Some(Duration::ZERO));
        for text in ["", "3", "2w", "d", "-2h", "365001d", "2026-11-22T14:00:00Z"] {
            assert_eq!(parse_age(text), None, "{text:?}");
        }
    }
}
