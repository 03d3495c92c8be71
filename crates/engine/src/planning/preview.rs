//! A pool whose plans are made, logged and scored, but not carried out.

use std::time::Duration;

use foreshadow_planner::{KnownDemand, PoolPlan, Preview};
use foreshadow_types::Timestamp;

use crate::views::{OutcomeCounts, PreviewView};

/// A preview under way.
#[derive(Debug)]
pub(super) struct Previewed {
    /// How many instances the pool keeps meanwhile.
    pub(super) keep: u32,
    /// The pool that follows the plans on paper.
    pub(super) paper: Preview,
    proposed: u32,
    /// What had become of requests when it began.
    before: OutcomeCounts,
    /// Idle instance-seconds of the real pool, as sampled at each plan.
    kept_idle_s: f64,
    sampled: Option<Timestamp>,
}

impl Previewed {
    pub(super) fn new(startup: Duration, before: OutcomeCounts) -> Self {
        Self {
            keep: 0,
            paper: Preview::new(startup),
            proposed: 0,
            before,
            kept_idle_s: 0.0,
            sampled: None,
        }
    }

    /// Carries a plan out on paper, while the real pool has this many ready.
    pub(super) fn follow(&mut self, now: Timestamp, target: u32, ready: u32) {
        let passed = self.sampled.map_or(Duration::ZERO, |at| now.since(at));
        self.kept_idle_s += f64::from(ready) * passed.as_secs_f64();
        self.sampled = Some(now);
        self.proposed = target;
        self.paper.follow(now, target);
    }

    pub(super) fn view(&self, outcomes: &OutcomeCounts) -> PreviewView {
        let score = self.paper.score();
        PreviewView {
            kept: self.keep,
            proposed: self.proposed,
            requests: score.requests,
            hits: score.hits,
            idle_s: score.idle_s,
            kept_hits: outcomes.hits - self.before.hits,
            kept_idle_s: self.kept_idle_s,
        }
    }
}

/// The plan as a proposal; an override is carried out all the same.
pub(super) fn proposal(plan: PoolPlan, kept: u32, known: &KnownDemand) -> PoolPlan {
    let fixed = known.fixed.as_ref();
    let overridden = fixed.is_some_and(|fixed| fixed.holds_at(plan.at));
    let kept = if overridden { plan.target } else { kept };
    plan.previewed(kept)
}
