//! How often those who ask have to wait.

use std::collections::BTreeMap;

use super::{PoolTrace, Tally};

/// How large a share of their requests waits, by nearest rank over all who asked in the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WaitingShares {
    /// For half of them it is no larger.
    pub p50: f64,
    /// For three quarters of them it is no larger.
    pub p75: f64,
}

/// Requests and waits of each who asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitingBy<K>(BTreeMap<K, (u64, u64)>);

impl<K: Ord> WaitingBy<K> {
    fn add(&mut self, who: K, requests: u64, waits: u64) {
        let sum = self.0.entry(who).or_default();
        sum.0 += requests;
        sum.1 += waits;
    }

    pub(crate) fn shares(&self) -> Option<WaitingShares> {
        let share = |&(requests, waits): &(u64, u64)| waits as f64 / requests as f64;
        let mut shares: Vec<f64> = self.0.values().map(share).collect();
        shares.sort_by(f64::total_cmp);
        let at = |level: f64| {
            let rank = (level * shares.len() as f64).ceil() as usize;
            shares.get(rank.saturating_sub(1)).copied()
        };
        Some(WaitingShares {
            p50: at(0.5)?,
            p75: at(0.75)?,
        })
    }
}

impl WaitingBy<u64> {
    /// Adds a pool's requests under who asked: the user, or else the application; requests that name
    /// neither are left out.
    pub(crate) fn add_users(&mut self, pool: &PoolTrace, tally: &Tally) {
        let first = pool.len() - tally.waited().len();
        for (offset, &waited) in tally.waited().iter().enumerate() {
            let arrival = pool.arrival(first + offset);
            let who = arrival.who();
            if who != 0 {
                self.add(who, 1, u64::from(waited));
            }
        }
    }
}

impl WaitingBy<String> {
    pub(crate) fn add_pool(&mut self, pool: &PoolTrace, tally: &Tally) {
        let waits = tally.requests() - tally.hits();
        if tally.requests() > 0 {
            self.add(pool.name().to_string(), tally.requests(), waits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_by_nearest_rank_over_those_who_asked() {
        let mut by = WaitingBy::default();
        assert_eq!(by.shares(), None);
        for (who, waits) in [(1, 0), (2, 1), (3, 5), (4, 10)] {
            by.add(who, 10, waits);
        }
        assert_eq!(by.shares(), Some(WaitingShares { p50: 0.1, p75: 0.5 }));
    }
}
