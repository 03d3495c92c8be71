//! Pools whose requests follow those of another pool: a test after each build.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use foreshadow_types::{PoolName, Timestamp};
use thiserror::Error;

use crate::known::{Floor, FloorCause};

/// Requests of one pool are followed by requests of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Follow {
    /// The pool that is asked for afterwards.
    pub pool: PoolName,
    /// The pool that is asked for first.
    pub after: PoolName,
    /// How long after.
    pub delay: Duration,
    /// Which share of the requests is followed, above 0 and at most 1.
    pub share: f64,
}

/// Why a declaration was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FollowError {
    /// A pool would follow itself.
    #[error("pool `{0}` follows itself; name another pool")]
    Itself(PoolName),
    /// The share is none.
    #[error("pool `{pool}`: share is {share}; it must lie above 0 and not above 1")]
    Share {
        /// The pool that follows.
        pool: PoolName,
        /// The share.
        share: f64,
    },
}

/// The most requests that one pool is expected to be followed by.
const MOST_EXPECTED: usize = 100_000;

/// What is declared to follow what, and the requests that are yet to be followed.
#[derive(Debug, Clone, Default)]
pub struct FollowBook {
    follows: Vec<(Follow, VecDeque<Timestamp>)>,
    /// Which of them come after each pool.
    after: BTreeMap<PoolName, Vec<usize>>,
}

impl FollowBook {
    /// Checks and keeps declarations.
    ///
    /// # Errors
    /// [`FollowError`] says which is at fault and what it must be.
    pub fn new(follows: Vec<Follow>) -> Result<Self, FollowError> {
        for follow in &follows {
            if follow.pool == follow.after {
                return Err(FollowError::Itself(follow.pool.clone()));
            }
            if !(follow.share > 0.0 && follow.share <= 1.0) {
                return Err(FollowError::Share {
                    pool: follow.pool.clone(),
                    share: follow.share,
                });
            }
        }
        let mut after: BTreeMap<PoolName, Vec<usize>> = BTreeMap::new();
        for (index, follow) in follows.iter().enumerate() {
            after.entry(follow.after.clone()).or_default().push(index);
        }
        let follows = follows.into_iter().map(|one| (one, VecDeque::new()));
        Ok(Self {
            follows: follows.collect(),
            after,
        })
    }

    /// Takes over what the earlier book expects, where the same is declared still.
    #[must_use]
    pub fn going_on_from(mut self, earlier: &Self) -> Self {
        for (follow, expected) in &mut self.follows {
            if let Some((_, due)) = earlier.follows.iter().find(|(other, _)| other == follow) {
                expected.clone_from(due);
            }
        }
        self
    }

    /// A request of `pool` came.
    pub fn observe(&mut self, pool: &PoolName, at: Timestamp) {
        for &index in self.after.get(pool).into_iter().flatten() {
            let (follow, expected) = &mut self.follows[index];
            if expected.len() >= MOST_EXPECTED {
                expected.pop_front();
            }
            expected.push_back(at + follow.delay);
        }
    }

    /// What pools must hold for the requests that will follow within the lead time of each; a pool
    /// without one is left out.
    pub fn floors(
        &mut self,
        now: Timestamp,
        lead: impl Fn(&PoolName) -> Option<Duration>,
    ) -> Vec<(PoolName, Floor)> {
        let mut floors = Vec::new();
        for (follow, expected) in &mut self.follows {
            while expected.front().is_some_and(|due| *due < now) {
                expected.pop_front();
            }
            let Some(lead) = lead(&follow.pool) else {
                continue;
            };
            let near = expected.iter().take_while(|due| **due <= now + lead);
            let requests = near.count() as u32;
            if requests > 0 {
                let floor = Floor {
                    count: (f64::from(requests) * follow.share).ceil() as u32,
                    cause: FloorCause::Follows {
                        pool: follow.after.clone(),
                        requests,
                    },
                };
                floors.push((follow.pool.clone(), floor));
            }
        }
        floors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> PoolName {
        PoolName::new(name).unwrap()
    }

    fn tests_follow_builds(share: f64) -> Follow {
        Follow {
            pool: pool("test"),
            after: pool("build"),
            delay: Duration::from_mins(4),
            share,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    #[test]
    fn instances_are_wanted_a_lead_time_before_the_requests_that_follow() {
        let mut book = FollowBook::new(vec![tests_follow_builds(0.5)]).unwrap();
        for second in 0..5 {
            book.observe(&pool("build"), at(second));
            book.observe(&pool("test"), at(second));
        }
        let mut wanted = |second| {
            let floors = book.floors(at(second), |_| Some(Duration::from_mins(3)));
            floors.first().map_or(0, |(_, floor)| floor.count)
        };
        assert_eq!(wanted(30), 0, "four minutes are further than three");
        assert_eq!(wanted(64), 3, "half of five");
        assert_eq!(wanted(242), 2, "half of the three that are left");
        assert_eq!(wanted(300), 0, "they have come");
    }

    #[test]
    fn senseless_declarations_are_refused() {
        let mut bad = tests_follow_builds(1.0);
        bad.after = bad.pool.clone();
        assert!(FollowBook::new(vec![bad]).is_err());
        for share in [0.0, 1.5, f64::NAN] {
            assert!(FollowBook::new(vec![tests_follow_builds(share)]).is_err());
        }
    }

    #[test]
    fn what_is_declared_still_goes_on() {
        let mut book = FollowBook::new(vec![tests_follow_builds(1.0)]).unwrap();
        book.observe(&pool("build"), at(0));
        let same = FollowBook::new(vec![tests_follow_builds(1.0)]).unwrap();
        let mut same = same.going_on_from(&book);
        let lead = |_: &PoolName| Some(Duration::from_mins(10));
        assert_eq!(same.floors(at(1), lead).len(), 1);
        assert!(same.floors(at(1), |_| None).is_empty());
        let other = FollowBook::new(vec![tests_follow_builds(0.9)]).unwrap();
        let mut other = other.going_on_from(&book);
        assert!(other.floors(at(1), lead).is_empty());
    }
}
