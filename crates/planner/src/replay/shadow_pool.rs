//! A pool that exists only in the planner's head, followed exactly.

use std::collections::VecDeque;

use crate::policy::Outcome;

/// What happened in a shadow pool since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) hits: f64,
    /// Idle instance-seconds; a stopped instance counts from the request for its start.
    pub(crate) idle_s: f64,
}

/// Unpromised instances of a pool whose claims are replaced at once.
#[derive(Debug, Clone)]
pub(crate) struct ShadowPool {
    startup_ms: i64,
    now_ms: i64,
    ready: u32,
    /// When each starting instance will be ready, ascending.
    starting: VecDeque<i64>,
    tally: Tally,
}

impl ShadowPool {
    pub(crate) fn new(startup_ms: i64) -> Self {
        Self {
            startup_ms,
            now_ms: i64::MIN,
            ready: 0,
            starting: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Unpromised instances, ready and starting.
    pub(crate) fn held(&self) -> u32 {
        self.ready + self.starting.len() as u32
    }

    /// A request at `at_ms`.
    pub(crate) fn claim(&mut self, at_ms: i64) -> Outcome {
        self.advance(at_ms);
        let outcome = if self.ready > 0 {
            self.ready -= 1;
            self.tally.hits += 1.0;
            Outcome::Hit
        } else if self.starting.pop_front().is_some() {
            Outcome::Join
        } else {
            return Outcome::Miss;
        };
        self.starting
            .push_back(at_ms.saturating_add(self.startup_ms));
        outcome
    }

    /// Starts or stops instances until `target` are held.
    pub(crate) fn resize(&mut self, now_ms: i64, target: u32) {
        self.advance(now_ms);
        while self.held() < target {
            self.starting
                .push_back(now_ms.saturating_add(self.startup_ms));
        }
        while self.held() > target {
            let left_ms = self.starting.pop_back().map(|ready_ms| ready_ms - now_ms);
            if left_ms.is_none() {
                self.ready -= 1;
            }
            let age_ms = self.startup_ms - left_ms.unwrap_or(0);
            self.tally.idle_s += age_ms as f64 / 1e3;
        }
    }

    /// What happened since the last call.
    pub(crate) fn take(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    fn advance(&mut self, now_ms: i64) {
        while let Some(&ready_ms) = self.starting.front() {
            if ready_ms > now_ms {
                break;
            }
            self.idle_until(ready_ms);
            self.starting.pop_front();
            self.ready += 1;
        }
        self.idle_until(now_ms);
    }

    fn idle_until(&mut self, now_ms: i64) {
        if self.now_ms != i64::MIN {
            let elapsed_ms = now_ms.saturating_sub(self.now_ms).max(0);
            self.tally.idle_s += f64::from(self.ready) * elapsed_ms as f64 / 1e3;
        }
        self.now_ms = self.now_ms.max(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_hits_are_those_of_the_contract() {
        let mut pool = ShadowPool::new(120_000);
        pool.resize(0, 2);
        pool.claim(60_000);
        assert_eq!(
            pool.take(),
            Tally::default(),
            "a join is no hit and costs nothing"
        );
        pool.claim(130_000);
        assert_eq!(
            pool.take(),
            Tally {
                hits: 1.0,
                idle_s: 10.0
            }
        );
        pool.resize(200_000, 0);
        // The first replacement was ready at 180 s and counts from its start at 60 s; the second
        // was started at 130 s.
        assert_eq!(
            pool.take(),
            Tally {
                hits: 0.0,
                idle_s: 140.0 + 70.0
            }
        );
        pool.claim(210_000);
        assert_eq!((pool.held(), pool.take()), (0, Tally::default()));
    }
}
