//! The reactive policy: enough for the recent demand and its spread.
//!
//! The target is `⌈mean + z · deviation⌉` of the demand over a lead time, both over a trailing
//! window: the base-stock rule of inventory control (Silver, Pyke & Thomas, *Inventory and
//! Production Management in Supply Chains*, 4th ed., ch. 6) on a moving window, as autoscalers that
//! follow a measured load use it.

use std::collections::VecDeque;

use foreshadow_types::Timestamp;

use super::TrailingDemand;
use crate::{Arrival, Inventory, Outcome, TargetPolicy};

/// Mean and standard deviation of the demand over a lead time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DemandMoments {
    /// The mean.
    pub mean: f32,
    /// The standard deviation.
    pub deviation: f32,
}

impl DemandMoments {
    /// `⌈mean + z · deviation⌉`, at least zero.
    #[inline]
    pub fn target(&self, z: f32) -> u32 {
        // A sum that is whole but for rounding does not ask for one more instance.
        (self.mean + z * self.deviation - 1e-4).ceil().max(0.0) as u32
    }
}

/// Moments over the last so many ticks; exact, since it adds integers.
#[derive(Debug, Clone)]
pub struct TrailingMoments {
    ticks: usize,
    window: VecDeque<u32>,
    sum: u64,
    squares: u64,
}

impl TrailingMoments {
    /// Over `ticks` ticks, at least one.
    pub fn new(ticks: usize) -> Self {
        Self {
            ticks: ticks.max(1),
            window: VecDeque::new(),
            sum: 0,
            squares: 0,
        }
    }

    /// Takes the demand of the lead time that ended at this tick, and gives the moments of the
    /// window that ends with it. Before a whole window has passed, they are of what there is.
    pub fn push(&mut self, demand: u32) -> DemandMoments {
        let add = u64::from(demand);
        self.window.push_back(demand);
        self.sum += add;
        self.squares += add * add;
        if self.window.len() > self.ticks
            && let Some(oldest) = self.window.pop_front()
        {
            let gone = u64::from(oldest);
            self.sum -= gone;
            self.squares -= gone * gone;
        }
        let count = self.window.len() as f64;
        let mean = self.sum as f64 / count;
        let variance = (self.squares as f64 / count - mean * mean).max(0.0);
        DemandMoments {
            mean: mean as f32,
            deviation: variance.sqrt() as f32,
        }
    }
}

/// The reactive policy with a fixed `z`.
#[derive(Debug, Clone)]
pub struct Reactive {
    demand: TrailingDemand,
    moments: TrailingMoments,
    z: f32,
}

impl Reactive {
    /// From the demand counter, the window and the number of deviations kept above the mean.
    pub fn new(demand: TrailingDemand, moments: TrailingMoments, z: f32) -> Self {
        Self { demand, moments, z }
    }
}

impl TargetPolicy for Reactive {
    fn observe(&mut self, arrival: &Arrival, _: Outcome) {
        self.demand.observe(arrival.at);
    }

    fn observe_merged(&mut self, _: &Arrival, _: Outcome) {}

    fn target(&mut self, now: Timestamp, _: &Inventory) -> u32 {
        let demand = self.demand.at(now);
        self.moments.push(demand).target(self.z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_of_the_window_alone() {
        let mut moments = TrailingMoments::new(2);
        moments.push(100);
        moments.push(1);
        let last = moments.push(3);
        assert_eq!((last.mean, last.deviation), (2.0, 1.0));
        assert_eq!(last.target(0.0), 2);
        assert_eq!(last.target(0.5), 3);
        assert_eq!(last.target(-9.0), 0);
    }
}
