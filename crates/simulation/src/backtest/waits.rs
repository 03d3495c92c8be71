//! Waits counted by their length: as many numbers as there are different waits, however long the log.

use std::collections::BTreeMap;

/// How many requests waited how long, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Waits {
    counts: BTreeMap<u32, u64>,
    requests: u64,
}

impl Waits {
    pub(crate) fn add(&mut self, wait_ms: u32) {
        *self.counts.entry(wait_ms).or_default() += 1;
        self.requests += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (&wait_ms, &count) in &other.counts {
            *self.counts.entry(wait_ms).or_default() += count;
        }
        self.requests += other.requests;
    }

    /// How many requests waited.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// All waits added up.
    pub(crate) fn total_ms(&self) -> u64 {
        let each = self.counts.iter();
        each.map(|(&wait_ms, &count)| u64::from(wait_ms) * count)
            .sum()
    }

    /// The wait that so many are not longer than, in ascending order; `None` beyond the longest.
    pub(crate) fn ranked(&self, rank: u64) -> Option<u32> {
        let mut shorter = 0;
        self.counts.iter().find_map(|(&wait_ms, &count)| {
            shorter += count;
            (rank <= shorter).then_some(wait_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_ranked_as_if_they_were_sorted() {
        let given = [70, 20, 20, 90, 20, 0];
        let (mut one, mut two) = (Waits::default(), Waits::default());
        for (index, &wait_ms) in given.iter().enumerate() {
            if index % 2 == 0 {
                one.add(wait_ms);
            } else {
                two.add(wait_ms);
            }
        }
        one.merge(&two);
        assert_eq!((one.requests(), one.total_ms()), (6, 220));
        let mut sorted = given;
        sorted.sort_unstable();
        for (index, wait_ms) in sorted.into_iter().enumerate() {
            assert_eq!(one.ranked(index as u64 + 1), Some(wait_ms));
        }
        assert_eq!(one.ranked(7), None);
    }
}
