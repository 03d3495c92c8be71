//! Whose requests idle instances are kept for.
//!
//! An instance that waits waits for nobody in particular: what a pool keeps idle is put down to the
//! categories of its users by their shares of its requests lately.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_types::{PoolName, Timestamp};

/// How much of its weight a sample's requests keep with each that follows: about the last hundred count.
const KEPT: f64 = 0.99;

/// Requests of no more weight than this are forgotten.
const FORGOTTEN: f64 = 1e-3;

/// The requests of a pool lately, of all users and by category.
#[derive(Debug, Default)]
struct Shares {
    all: f64,
    of: BTreeMap<Arc<str>, f64>,
}

/// The requests of each pool, and when idle instances were counted last.
#[derive(Debug, Default)]
pub(super) struct Idle {
    counted: Option<Timestamp>,
    pools: BTreeMap<PoolName, Shares>,
}

impl Idle {
    /// Takes note of a request, of a user of this category if any is known.
    pub(super) fn request(&mut self, pool: &PoolName, category: Option<&Arc<str>>) {
        let shares = self.pools.entry(pool.clone()).or_default();
        shares.all += 1.0;
        if let Some(category) = category {
            *shares.of.entry(category.clone()).or_default() += 1.0;
        }
    }

    /// Idle instances are counted again; gives the time since they were before.
    pub(super) fn passed(&mut self, now: Timestamp) -> Duration {
        let before = self.counted.replace(now);
        before.map_or(Duration::ZERO, |before| now.since(before))
    }

    /// The share of each category in a pool's requests lately; they count less from here on.
    pub(super) fn shares(&mut self, pool: &PoolName) -> Vec<(Arc<str>, f64)> {
        let Some(shares) = self.pools.get_mut(pool) else {
            return Vec::new();
        };
        let all = shares.all;
        let of = shares.of.iter();
        let parts = of.map(|(category, part)| (category.clone(), part / all));
        let parts = parts.collect();
        shares.all *= KEPT;
        shares.of.retain(|_, part| {
            *part *= KEPT;
            *part > FORGOTTEN
        });
        if shares.all <= FORGOTTEN {
            self.pools.remove(pool);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_requests_and_follow_the_latest() {
        let mut idle = Idle::default();
        let pool = PoolName::new("web").unwrap();
        let (old, new): (Arc<str>, Arc<str>) = ("old".into(), "new".into());
        assert!(idle.shares(&pool).is_empty());
        for category in [Some(&old), Some(&old), Some(&old), None] {
            idle.request(&pool, category);
        }
        assert_eq!(idle.shares(&pool), [(old.clone(), 0.75)]);
        for _ in 0..1_000 {
            idle.request(&pool, Some(&new));
            idle.shares(&pool);
        }
        let shares = idle.shares(&pool);
        assert!(shares[0].1 > 0.99, "{shares:?}");
    }

    #[test]
    fn a_pool_that_nobody_asks_is_forgotten_in_the_end() {
        let mut idle = Idle::default();
        let pool = PoolName::new("web").unwrap();
        for category in ["a", "b"] {
            idle.request(&pool, Some(&category.into()));
        }
        for _ in 0..5_000 {
            let shares = idle.shares(&pool);
            let sum: f64 = shares.iter().map(|(_, share)| share).sum();
            assert!(sum < 1.0 + 1e-9, "{shares:?}");
        }
        assert!(idle.pools.is_empty(), "{idle:?}");
    }

    #[test]
    fn nothing_has_passed_before_the_first_count() {
        let mut idle = Idle::default();
        assert_eq!(idle.passed(Timestamp::from_millis(5_000)), Duration::ZERO);
        let passed = idle.passed(Timestamp::from_millis(7_000));
        assert_eq!(passed, Duration::from_secs(2));
    }
}
