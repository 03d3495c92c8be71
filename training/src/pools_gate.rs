//! Promotion, the part of the pools: a candidate must not serve them worse than the model in use.

use serde::{Deserialize, Serialize};

/// A candidate may cost so much of the hit rate; half a point.
const HIT_RATE_LOST: f64 = 0.005;

/// A candidate that serves no more requests may keep so much more idle, as a share of what is kept idle
/// now; what two replays differ by in rounding is no reason.
const IDLE_GAINED: f64 = 0.05;

/// What a pool gave in a replay.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Served {
    /// Requests that found a ready instance.
    pub hits: u64,
    /// Instance-seconds that were ready for nobody.
    pub idle_s: f64,
}

/// One pool with the forecasts of either model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolReplay {
    /// The pool's name.
    pub pool: String,
    /// Requests in the window: the same for both.
    pub requests: u64,
    /// With the candidate.
    pub candidate: Served,
    /// With the model in use.
    pub current: Served,
}

/// The pools whose plans depend on the model, replayed on the window that judges a candidate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[must_use]
pub struct PoolsReport {
    /// The pools that were replayed, those with the most requests first.
    pub pools: Vec<PoolReplay>,
    /// Pools that were not replayed: there are too many, or there was no time.
    pub left_out: usize,
}

impl PoolsReport {
    /// Why the candidate is not to be promoted, if so: over all pools together,
    ///
    /// - its hit rate is more than half a point below that of the model in use, or
    /// - it keeps more than 5 % more idle, and hits no more requests;
    ///
    /// or there was no time to replay a single one.
    pub fn refusal(&self) -> Option<String> {
        if self.pools.is_empty() && self.left_out > 0 {
            let mend = "raise `max_duration` in [retrain]";
            return Some(format!("there was no time to replay the pools; {mend}"));
        }
        let requests: u64 = self.pools.iter().map(|pool| pool.requests).sum();
        let candidate = total(self.pools.iter().map(|pool| &pool.candidate));
        let current = total(self.pools.iter().map(|pool| &pool.current));
        let fewer_hits = current.hits as f64 - candidate.hits as f64;
        let lost = fewer_hits > HIT_RATE_LOST * requests as f64;
        let dearer = candidate.idle_s > current.idle_s * (1.0 + IDLE_GAINED)
            && candidate.hits <= current.hits;
        (lost || dearer).then(|| {
            format!(
                "pools would fare worse: of {requests} requests {} hit and {:.0} s idle, in use {} and \
                 {:.0} s",
                candidate.hits, candidate.idle_s, current.hits, current.idle_s
            )
        })
    }
}

fn total<'a>(all: impl Iterator<Item = &'a Served>) -> Served {
    all.fold(Served::default(), |sum, one| Served {
        hits: sum.hits + one.hits,
        idle_s: sum.idle_s + one.idle_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(requests: u64, candidate: (u64, f64), current: (u64, f64)) -> bool {
        let served = |(hits, idle_s)| Served { hits, idle_s };
        let pool = |requests, candidate, current| PoolReplay {
            pool: "web".to_owned(),
            requests,
            candidate: served(candidate),
            current: served(current),
        };
        // What one pool loses another may make up for.
        let quiet = pool(0, (0, 0.0), (0, 0.0));
        let report = PoolsReport {
            pools: vec![pool(requests, candidate, current), quiet],
            left_out: 0,
        };
        report.refusal().is_some()
    }

    #[test]
    fn a_candidate_that_loses_hits_is_refused_however_cheap() {
        assert!(refused(1000, (894, 0.0), (900, 500.0)));
        assert!(!refused(1000, (895, 500.0), (900, 500.0)), "half a point");
    }

    #[test]
    fn a_candidate_that_idles_more_is_refused_unless_it_hits_more() {
        assert!(refused(1000, (900, 526.0), (900, 500.0)));
        assert!(refused(1000, (899, 526.0), (900, 500.0)));
        assert!(!refused(1000, (900, 525.0), (900, 500.0)), "a twentieth");
        assert!(!refused(1000, (910, 900.0), (900, 500.0)));
    }

    #[test]
    fn where_nobody_asks_only_idle_time_counts() {
        assert!(refused(0, (0, 60.0), (0, 0.0)));
        assert!(!refused(0, (0, 0.0), (0, 60.0)));
        assert!(!refused(0, (0, 0.0), (0, 0.0)));
        assert_eq!(PoolsReport::default().refusal(), None);
    }

    #[test]
    fn a_candidate_with_which_no_pool_was_replayed_is_refused() {
        let none = PoolsReport {
            pools: Vec::new(),
            left_out: 2,
        };
        assert!(none.refusal().is_some());
    }
}
