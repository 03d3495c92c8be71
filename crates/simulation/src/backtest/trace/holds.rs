//! How long requests hold their instances.

use std::time::Duration;

/// Marks a request that does not say.
const UNKNOWN: u32 = u32::MAX;

/// How long each request holds its instance, in four bytes; no memory where none says.
#[derive(Debug, Clone, Default)]
pub(super) struct Holds {
    millis: Vec<u32>,
}

impl Holds {
    /// Notes the hold of request `index`, which is the next.
    pub(super) fn push(&mut self, index: usize, hold: Option<Duration>) {
        let millis = hold.map_or(UNKNOWN, |hold| {
            u32::try_from(hold.as_millis()).map_or(UNKNOWN - 1, |ms| ms.min(UNKNOWN - 1))
        });
        if millis != UNKNOWN || !self.millis.is_empty() {
            self.millis.resize(index, UNKNOWN);
            self.millis.push(millis);
        }
    }

    /// The hold of request `index` in milliseconds, if it says.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<u32> {
        let millis = self.millis.get(index).copied();
        millis.filter(|&millis| millis != UNKNOWN)
    }

    /// Whether each of `requests` says.
    pub(super) fn are_known(&self, requests: usize) -> bool {
        self.millis.len() == requests && !self.millis.contains(&UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_that_are_not_known_take_no_memory_and_read_as_absent() {
        let mut holds = Holds::default();
        holds.push(0, None);
        assert!(holds.millis.is_empty());
        holds.push(1, Some(Duration::from_millis(7)));
        assert_eq!(
            [0, 1, 2].map(|index| holds.get(index)),
            [None, Some(7), None]
        );
        assert!(!holds.are_known(2));
    }

    #[test]
    fn a_hold_that_is_too_long_is_the_longest_there_is() {
        let mut holds = Holds::default();
        holds.push(0, Some(Duration::from_hours(24 * 365)));
        assert_eq!(holds.get(0), Some(UNKNOWN - 1));
        assert!(holds.are_known(1));
    }
}
