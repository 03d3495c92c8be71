//! Searches for the least parameter of a policy that reaches a hit rate on the scored window.

use std::{cell::RefCell, collections::BTreeMap};

use foreshadow_planner::{Arrival, Inventory, Outcome, TargetPolicy};
use foreshadow_types::Timestamp;

use super::{NoProbe, PoolTrace, Probe, Setting, Tally, kernel::replay, reuse::replay_reused};

/// A policy with one free parameter, numbered so that a larger number never asks for a smaller pool.
pub(crate) trait Family {
    /// The largest number of the parameter.
    fn largest(&self) -> u32;

    /// What to do with parameter `number`.
    fn plan(&self, number: u32) -> PoolSchedule;

    /// The parameter in words.
    fn describe(&self, number: u32) -> String;
}

/// What a policy does over the whole log.
pub(crate) enum PoolSchedule {
    /// The target at each tick; instances are used once.
    Targets(Vec<u32>),
    /// The hybrid histogram on reused instances, with this tail percentile.
    Reused {
        /// The percentile as a share.
        tail: f64,
    },
}

impl PoolSchedule {
    /// Replays a pool and counts into `tally`; reused instances have no ticks to probe.
    pub(crate) fn replay<R: Probe + ?Sized>(
        &self,
        pool: &PoolTrace,
        setting: &Setting,
        tally: Tally,
        probe: &mut R,
    ) -> Tally {
        match self {
            Self::Targets(targets) => {
                replay(pool, setting, &mut Scheduled::new(targets), probe, tally)
            }
            Self::Reused { tail } => replay_reused(pool, setting, *tail, tally),
        }
    }
}

/// Plays back targets that were worked out beforehand.
#[derive(Debug, Clone)]
pub struct Scheduled<'a> {
    targets: std::slice::Iter<'a, u32>,
}

impl<'a> Scheduled<'a> {
    /// One target for each tick.
    pub fn new(targets: &'a [u32]) -> Self {
        Self {
            targets: targets.iter(),
        }
    }
}

impl TargetPolicy for Scheduled<'_> {
    #[inline]
    fn observe(&mut self, _: &Arrival, _: Outcome) {}

    #[inline]
    fn observe_merged(&mut self, _: &Arrival, _: Outcome) {}

    fn target(&mut self, _: Timestamp, _: &Inventory) -> u32 {
        self.targets.next().copied().unwrap_or(0)
    }
}

/// What a policy costs on one pool for each parameter tried so far.
pub(crate) struct Curve<'a> {
    pool: &'a PoolTrace,
    setting: &'a Setting,
    family: Box<dyn Family + 'a>,
    known: RefCell<BTreeMap<u32, Tally>>,
}

impl<'a> Curve<'a> {
    pub(crate) fn new(
        pool: &'a PoolTrace,
        setting: &'a Setting,
        family: Box<dyn Family + 'a>,
    ) -> Self {
        Self {
            pool,
            setting,
            family,
            known: RefCell::new(BTreeMap::new()),
        }
    }

    /// The policy.
    pub(crate) fn family(&self) -> &dyn Family {
        &*self.family
    }

    /// What parameter `number` gives; replayed once and remembered.
    pub(crate) fn at(&self, number: u32) -> Tally {
        if let Some(tally) = self.known.borrow().get(&number) {
            return tally.clone();
        }
        let schedule = self.family.plan(number);
        let tally = schedule.replay(
            self.pool,
            self.setting,
            Tally::new(self.setting),
            &mut NoProbe,
        );
        self.known.borrow_mut().insert(number, tally.clone());
        tally
    }

    /// The least parameter that reaches `hit_rate`, or else the least that hits as often as the
    /// largest one does.
    ///
    /// A pool without requests in the window is reached by the least parameter.
    pub(crate) fn reach(&self, hit_rate: f64) -> Tuned {
        let largest = self.family.largest();
        let number = self.least_reaching(hit_rate).unwrap_or_else(|| {
            let nearest = self.at(largest).hit_rate().unwrap_or(0.0);
            self.least_reaching(nearest).unwrap_or(largest)
        });
        self.tuned(number)
    }

    /// By doubling and halving, since a larger parameter does not hit less.
    fn least_reaching(&self, hit_rate: f64) -> Option<u32> {
        let reaches = |number| reached(&self.at(number), hit_rate);
        if reaches(0) {
            return Some(0);
        }
        let largest = self.family.largest();
        let (mut low, mut high) = (0, largest.min(1));
        while high < largest && !reaches(high) {
            low = high;
            high = high.saturating_mul(2).min(largest);
        }
        if !reaches(high) {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if reaches(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    fn tuned(&self, number: u32) -> Tuned {
        Tuned {
            number,
            tally: self.at(number),
        }
    }
}

/// A parameter and what it gives.
#[derive(Debug, Clone)]
pub(crate) struct Tuned {
    pub(crate) number: u32,
    pub(crate) tally: Tally,
}

/// Whether the tally's hit rate is at least `hit_rate`; so it is without requests.
pub(crate) fn reached(tally: &Tally, hit_rate: f64) -> bool {
    tally.hit_rate().is_none_or(|rate| rate >= hit_rate - 1e-12)
}
