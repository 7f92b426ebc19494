//! Numbers as people read them.

use std::time::Duration;

/// `number` with a comma between thousands: 1,000,000.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many a second `count` in `time` are, in three digits: more are noise.
pub(super) fn rate(count: u64, time: Duration) -> u64 {
    let micros = time.as_micros().max(1);
    let rate = u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX);
    let unit = 10_u64.pow(rate.checked_ilog10().unwrap_or_default().saturating_sub(2));
    rate / unit * unit
}

/// A time in the two units that say most: `8 s`, `2 min 5 s`, `3 h 20 min`.
pub(super) fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (1_000_000, "1,000,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_rate_has_three_digits() {
        let rate = |count, millis| rate(count, Duration::from_millis(millis));
        assert_eq!(rate(1_000_000, 9_600), 104_000);
        assert_eq!(rate(1_000_000, 100_000), 10_000);
        assert_eq!(rate(7, 1_000), 7);
        assert_eq!(rate(0, 1_000), 0);
        assert_eq!(rate(12_345, 10_000), 1_230);
        assert_eq!(
            rate(u64::MAX, 0),
            u64::MAX / 10_u64.pow(17) * 10_u64.pow(17)
        );
    }

    #[test]
    fn a_long_time_is_told_in_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (125, "2 min 5 s"),
            (3_600, "1 h 0 min"),
            (100_000, "27 h 46 min"),
        ] {
            assert_eq!(long(Duration::from_secs(seconds)), text);
        }
    }
}
