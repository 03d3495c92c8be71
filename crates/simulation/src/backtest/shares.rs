//! What those who ask get: by user and by pool.

use std::collections::BTreeMap;

use foreshadow_planner::Outcome;

use super::{PoolTrace, Tally, tally::ratio};

/// A value by nearest rank over all who asked in the window, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// For half of them it is no larger.
    pub p50: f64,
    /// For three quarters of them it is no larger.
    pub p75: f64,
}

/// What a pool's requests got in the scored window.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolCounts {
    /// The pool.
    pub pool: String,
    /// Its requests.
    pub requests: u64,
    /// Those that found a ready instance.
    pub hits: u64,
    /// Those that waited for an instance that was already starting.
    pub joins: u64,
    /// Those that waited, joins included.
    pub waits: u64,
    /// How long they waited, added up, in seconds.
    pub wait_s: f64,
    /// Instance-seconds of idle time.
    pub idle_unit_seconds: f64,
    /// Instances started.
    pub starts: u64,
}

/// What users got in the scored window; requests without a user stand under their application, and
/// those with neither are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UserSpread {
    /// How many users asked.
    pub users: u64,
    /// Hits ÷ requests.
    pub hit_rate: Spread,
    /// Joins ÷ requests.
    pub joined_rate: Spread,
    /// Requests that wait ÷ requests.
    pub waiting: Spread,
    /// Seconds of waiting ÷ requests.
    pub wait_s: Spread,
}

impl PoolCounts {
    pub(crate) fn new(pool: &PoolTrace, tally: &Tally) -> Self {
        Self {
            pool: pool.name().to_string(),
            requests: tally.requests(),
            hits: tally.hits(),
            joins: tally.joins(),
            waits: tally.requests() - tally.hits(),
            wait_s: tally.waited_s(),
            idle_unit_seconds: tally.idle_ms() as f64 / 1e3,
            starts: tally.starts(),
        }
    }

    fn waiting(&self) -> Option<f64> {
        ratio(self.waits, self.requests)
    }
}

/// The share of requests that wait, across pools that were asked.
pub(crate) fn waiting_by_pool(pools: &[PoolCounts]) -> Option<Spread> {
    spread(pools.iter().filter_map(PoolCounts::waiting))
}

/// Requests of each user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Users(BTreeMap<u64, Served>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Served {
    requests: u64,
    hits: u64,
    joins: u64,
    wait_ms: u64,
}

impl Served {
    fn per_request(&self, sum: u64) -> f64 {
        sum as f64 / self.requests as f64
    }
}

impl Users {
    /// A request of `who`, 0 for nobody who is known.
    pub(crate) fn served(&mut self, who: u64, outcome: Outcome, wait_ms: u32) {
        if who == 0 {
            return;
        }
        let sum = self.0.entry(who).or_default();
        sum.requests += 1;
        sum.hits += u64::from(outcome == Outcome::Hit);
        sum.joins += u64::from(outcome == Outcome::Join);
        sum.wait_ms += u64::from(wait_ms);
    }

    /// Adds what users got of another pool.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (&who, served) in &other.0 {
            let sum = self.0.entry(who).or_default();
            sum.requests += served.requests;
            sum.hits += served.hits;
            sum.joins += served.joins;
            sum.wait_ms += served.wait_ms;
        }
    }

    pub(crate) fn spread(&self) -> Option<UserSpread> {
        let across = |value: fn(&Served) -> f64| spread(self.0.values().map(value));
        Some(UserSpread {
            users: self.0.len() as u64,
            hit_rate: across(|one| one.per_request(one.hits))?,
            joined_rate: across(|one| one.per_request(one.joins))?,
            waiting: across(|one| one.per_request(one.requests - one.hits))?,
            wait_s: across(|one| one.per_request(one.wait_ms) / 1e3)?,
        })
    }
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |level: f64| {
        let rank = (level * values.len() as f64).ceil() as usize;
        values.get(rank.saturating_sub(1)).copied()
    };
    Some(Spread {
        p50: at(0.5)?,
        p75: at(0.75)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_by_nearest_rank_over_those_who_asked() {
        let mut users = Users::default();
        assert_eq!(users.spread(), None);
        for (who, waits) in [(1, 0), (2, 1), (3, 5), (4, 10)] {
            for request in 0..10 {
                let (outcome, wait_ms) = if request < waits {
                    (Outcome::Join, 500)
                } else {
                    (Outcome::Hit, 0)
                };
                users.served(who, outcome, wait_ms);
            }
        }
        let spread = users.spread().unwrap();
        assert_eq!(spread.users, 4);
        assert_eq!(spread.waiting, Spread { p50: 0.1, p75: 0.5 });
        assert_eq!(spread.joined_rate, spread.waiting);
        assert_eq!(spread.hit_rate, Spread { p50: 0.5, p75: 0.9 });
        assert_eq!(
            spread.wait_s,
            Spread {
                p50: 0.05,
                p75: 0.25
            }
        );
    }
}
