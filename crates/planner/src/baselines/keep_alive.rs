//! Keep-alive: what was needed in the last while stays warm.
//!
//! The counterpart for single-use instances of the fixed keep-alive of function platforms (as
//! described by Shahrad et al., *Serverless in the Wild*, USENIX ATC 2020, §2): an instance stays for
//! a fixed time after it was last needed, so the pool holds the largest demand over a lead time in
//! the window that ends now.

use std::collections::VecDeque;

use foreshadow_types::Timestamp;

use super::TrailingDemand;
use crate::{Arrival, Inventory, Outcome, TargetPolicy};

/// The largest value of the last so many ticks, in constant time a tick.
#[derive(Debug, Clone)]
pub struct TrailingMaximum {
    ticks: u64,
    now: u64,
    /// (tick, value), values descending: each is the largest from its tick on.
    falling: VecDeque<(u64, u32)>,
}

impl TrailingMaximum {
    /// Over `ticks` ticks; over none it is zero.
    pub fn new(ticks: u64) -> Self {
        Self {
            ticks,
            now: 0,
            falling: VecDeque::new(),
        }
    }

    /// Takes the value of this tick and gives the largest of the window that ends with it.
    pub fn push(&mut self, value: u32) -> u32 {
        while self.falling.back().is_some_and(|&(_, last)| last <= value) {
            self.falling.pop_back();
        }
        self.falling.push_back((self.now, value));
        self.now += 1;
        while let Some(&(tick, largest)) = self.falling.front() {
            if tick + self.ticks >= self.now {
                return largest;
            }
            self.falling.pop_front();
        }
        0
    }
}

/// The keep-alive policy with a fixed window.
#[derive(Debug, Clone)]
pub struct KeepAlive {
    demand: TrailingDemand,
    largest: TrailingMaximum,
}

impl KeepAlive {
    /// From the demand counter and the window.
    pub fn new(demand: TrailingDemand, largest: TrailingMaximum) -> Self {
        Self { demand, largest }
    }
}

impl TargetPolicy for KeepAlive {
    fn observe(&mut self, arrival: &Arrival, _: Outcome) {
        self.demand.observe(arrival.at);
    }

    fn observe_merged(&mut self, _: &Arrival, _: Outcome) {}

    fn target(&mut self, now: Timestamp, _: &Inventory) -> u32 {
        let demand = self.demand.at(now);
        self.largest.push(demand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_the_window_is_kept_and_then_forgotten() {
        let mut largest = TrailingMaximum::new(2);
        let seen: Vec<u32> = [5, 1, 2, 0, 0].map(|value| largest.push(value)).into();
        assert_eq!(seen, [5, 5, 2, 2, 0]);
        assert_eq!(TrailingMaximum::new(0).push(7), 0);
    }
}
