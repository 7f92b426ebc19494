//! A time in which a registry does not do its part, and the pauses between the tries meanwhile.

use std::{collections::hash_map::RandomState, hash::BuildHasher as _, time::Duration};

/// The pause after a first failure; each later one is twice as long, up to the longest.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What a search has met of failures in a row: the first is told, and each is followed by a pause.
#[derive(Default)]
pub(super) struct Outage {
    pause: Option<Duration>,
}

impl Outage {
    /// How long to wait before the next try; `None` while nothing fails.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pause.map(spread)
    }

    /// Counts a failure in. `true`: it is the first.
    pub(super) fn note(&mut self) -> bool {
        let longer = |pause: Duration| (pause * 2).min(BACK_OFF_MAX);
        let known = self.pause;
        self.pause = Some(known.map_or(BACK_OFF, longer));
        known.is_none()
    }

    /// The registry does its part again.
    pub(super) const fn end(&mut self) {
        self.pause = None;
    }
}

/// Between the half and the whole of `pause`, at random.
pub(super) fn spread(pause: Duration) -> Duration {
    // The standard library's hasher is seeded at random, and one is as good as another here.
    let random = RandomState::new().hash_one(0) >> 32;
    let fraction = u32::try_from(random).map_or(0.0, f64::from) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + fraction / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_and_the_pauses_grow_until_it_ends() {
        let mut outage = Outage::default();
        assert_eq!(outage.pause(), None);
        for expected in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let expected = Duration::from_millis(expected);
            assert_eq!(outage.note(), expected == BACK_OFF);
            let pause = outage.pause().unwrap();
            assert!(
                (expected / 2..=expected).contains(&pause),
                "{pause:?} for {expected:?}"
            );
        }
        outage.end();
        assert_eq!(outage.pause(), None);
        assert!(outage.note(), "another outage");
    }

    #[test]
    fn pauses_are_spread_over_their_upper_half() {
        let whole = Duration::from_secs(1);
        let spread: Vec<_> = (0..100).map(|_| spread(whole)).collect();
        let (least, most) = (spread.iter().min(), spread.iter().max());
        assert!(*least.unwrap() >= whole / 2 && *most.unwrap() <= whole);
        assert!(*most.unwrap() > *least.unwrap() + whole / 8, "{spread:?}");
    }
}
