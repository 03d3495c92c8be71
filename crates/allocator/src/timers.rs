//! Points in time that are waited for, in order. They are kept by the second, so that a change
//! touches a small set whatever the number of timers.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_types::Timestamp;

/// Width of a bucket in milliseconds, a power of two.
const BUCKET_MS: i64 = 1 << 10;

/// An ordered set of times and what is waited for by.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    buckets: BTreeMap<i64, BTreeSet<(Timestamp, T)>>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            buckets: BTreeMap::new(),
        }
    }
}

fn bucket_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(BUCKET_MS)
}

impl<T: Ord + Copy> Timers<T> {
    pub(crate) fn insert(&mut self, at: Timestamp, timer: T) {
        self.buckets
            .entry(bucket_of(at))
            .or_default()
            .insert((at, timer));
    }

    /// Adds many at once.
    pub(crate) fn extend(&mut self, mut timers: Vec<(Timestamp, T)>) {
        timers.sort_unstable();
        for same in timers.chunk_by(|(a, _), (b, _)| bucket_of(*a) == bucket_of(*b)) {
            let bucket = self.buckets.entry(bucket_of(same[0].0)).or_default();
            if bucket.is_empty() {
                *bucket = same.iter().copied().collect();
            } else {
                bucket.extend(same);
            }
        }
    }

    pub(crate) fn remove(&mut self, at: Timestamp, timer: T) {
        let Some(bucket) = self.buckets.get_mut(&bucket_of(at)) else {
            return;
        };
        bucket.remove(&(at, timer));
        if bucket.is_empty() {
            self.buckets.remove(&bucket_of(at));
        }
    }

    pub(crate) fn first(&self) -> Option<(Timestamp, T)> {
        self.buckets.values().next()?.first().copied()
    }

    pub(crate) fn contains(&self, at: Timestamp, timer: T) -> bool {
        let bucket = self.buckets.get(&bucket_of(at));
        bucket.is_some_and(|bucket| bucket.contains(&(at, timer)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Timestamp, T)> {
        self.buckets.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_in_order_whatever_their_bucket() {
        let mut timers = Timers::default();
        let times = [5_000, -3, 5_001, 9_000_000, -2_000, 5_003];
        for ms in &times[..3] {
            timers.insert(Timestamp::from_millis(*ms), *ms);
        }
        let rest = times[3..].iter();
        timers.extend(rest.map(|&ms| (Timestamp::from_millis(ms), ms)).collect());
        let mut sorted = times;
        sorted.sort_unstable();
        for ms in sorted {
            let at = Timestamp::from_millis(ms);
            assert_eq!(timers.first(), Some((at, ms)));
            assert!(timers.contains(at, ms));
            timers.remove(at, ms);
        }
        assert_eq!(timers.first(), None);
    }
}
