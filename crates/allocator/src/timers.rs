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
        let times = [5_000, -3, 5_001, 9_000_000, -2_000];
        for ms in times {
            timers.insert(Timestamp::from_millis(ms), ms);
        }
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
