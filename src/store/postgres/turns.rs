//! How the servers of one register take turns at its counter.

/// How many commits after one that had to wait for another server's are taken for such ones too.
const CONTENDED_COMMITS: u32 = 32;

/// The most commits before it is tried again whether callers come in time, as a power of two.
const MOST_MISSES: u32 = 6;

/// Whether other servers commit beside this one.
///
/// Each waits for the others then, and loses little by waiting for its own callers meanwhile: those who have just been
/// answered are about to come again, unless they are far away. Without that, of those whom a server has at a time half are
/// in the commit that waits and half come while it does, so that each turn does half of what it could.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How many commits more are taken for such as have to wait.
    contended: u32,
    /// How often in a row not all came who were waited for.
    misses: u32,
    /// How many commits nobody is waited for, as it brought nothing before.
    resting: u32,
}

impl Turns {
    /// How many batches the next commit should have, after one that answered `answered` of them while `waiting` more came,
    /// and that had to wait for another server or not; 0 where none is to be waited for.
    pub(super) fn expect(&mut self, has_waited: bool, answered: usize, waiting: usize) -> usize {
        self.contended = if has_waited {
            CONTENDED_COMMITS
        } else {
            self.contended.saturating_sub(1)
        };
        let is_resting = self.resting > 0;
        self.resting = self.resting.saturating_sub(1);
        if self.contended > 0 && !is_resting {
            answered + waiting
        } else {
            0
        }
    }

    /// All who were waited for have come, or they have not in time.
    pub(super) fn came(&mut self, all: bool) {
        if all {
            self.misses = 0;
        } else {
            self.misses = (self.misses + 1).min(MOST_MISSES);
            self.resting = 1 << self.misses;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_answered_is_waited_for_as_long_as_others_commit_too() {
        let mut turns = Turns::default();
        assert_eq!(turns.expect(false, 10, 11), 0);
        assert_eq!(turns.expect(true, 10, 11), 21);
        // Some of its turns come at once.
        for _ in 1..CONTENDED_COMMITS {
            assert_eq!(turns.expect(false, 21, 0), 21);
        }
        assert_eq!(turns.expect(false, 21, 0), 0);
    }

    #[test]
    fn whoever_is_far_away_is_waited_for_less_and_less() {
        let mut turns = Turns::default();
        let mut waits = 0;
        for _ in 0..1_000 {
            if turns.expect(true, 10, 0) > 0 {
                waits += 1;
                turns.came(false);
            }
        }
        assert!((10..30).contains(&waits), "{waits}");
        while turns.expect(true, 10, 0) == 0 {}
        turns.came(true);
        assert_eq!(turns.expect(true, 10, 0), 10);
    }
}
