//! What plans would have done that are not carried out.

use std::time::Duration;

use foreshadow_types::Timestamp;

use super::ShadowPool;
use crate::policy::{Inventory, Outcome};

/// How plans that were not carried out would have fared.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PreviewScore {
    /// Requests since the preview began.
    pub requests: u64,
    /// Those that would have found a ready instance.
    pub hits: u64,
    /// Idle instance-seconds that there would have been.
    pub idle_s: f64,
}

/// A pool that follows plans only on paper, beside the one that serves.
#[derive(Debug, Clone)]
pub struct Preview {
    pool: ShadowPool,
    score: PreviewScore,
}

impl Preview {
    /// A pool without instances, whose starts take this long.
    pub fn new(startup: Duration) -> Self {
        let startup_ms = i64::try_from(startup.as_millis()).unwrap_or(i64::MAX);
        Self {
            pool: ShadowPool::new(startup_ms),
            score: PreviewScore::default(),
        }
    }

    /// What would have become of a request.
    pub fn claim(&mut self, at: Timestamp) -> Outcome {
        self.score.requests += 1;
        self.pool.claim(at.as_millis())
    }

    /// Takes note of a request that shares an instance which others hold, as it would with any plan.
    pub fn share(&mut self, outcome: Outcome) {
        self.score.requests += 1;
        self.score.hits += u64::from(outcome == Outcome::Hit);
    }

    /// Carries a plan out on paper.
    pub fn follow(&mut self, now: Timestamp, target: u32) {
        self.pool.resize(now.as_millis(), target);
        let tally = self.pool.take();
        self.score.hits += tally.hits as u64;
        self.score.idle_s += tally.idle_s;
    }

    /// What the pool holds on paper.
    pub fn inventory(&self) -> Inventory {
        Inventory {
            ready: self.pool.held(),
            ..Inventory::default()
        }
    }

    /// How the plans fared up to the latest of them.
    pub fn score(&self) -> PreviewScore {
        self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_scored_as_if_they_had_been_carried_out() {
        let at = |second: i64| Timestamp::from_millis(second * 1_000);
        let mut preview = Preview::new(Duration::from_secs(10));
        preview.follow(at(0), 1);
        assert_eq!(preview.claim(at(5)), Outcome::Join);
        assert_eq!(preview.claim(at(30)), Outcome::Hit);
        preview.follow(at(30), 1);
        let score = preview.score();
        assert_eq!((score.requests, score.hits), (2, 1));
        assert_eq!(score.idle_s, 15.0, "ready from 15 s to 30 s");
        assert_eq!(preview.inventory().ready, 1);
        preview.share(Outcome::Hit);
        let score = preview.score();
        assert_eq!((score.requests, score.hits), (3, 2));
        assert_eq!(preview.inventory().ready, 1, "it takes nothing");
    }
}
