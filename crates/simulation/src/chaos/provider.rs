//! A provider that fails in every way known: starts that fail, hang or take long, instances that
//! die, reports that are lost, doubled or late.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use foreshadow_allocator::{Effect, Input};
use foreshadow_types::{InstanceId, Timestamp};
use rand::Rng;
use rand_pcg::Pcg64;

use super::faults::{Fault, FaultCounts};

/// Every so many instances one is given rather than started.
const GIVEN_EVERY: u64 = 8;

#[derive(Debug)]
pub(super) struct Provider {
    rng: Pcg64,
    alive: BTreeSet<InstanceId>,
    stopped: BTreeSet<InstanceId>,
    /// Reports on their way, by time of arrival.
    mail: BTreeMap<(Timestamp, u64), Report>,
    posted: u64,
    /// No more faults: for the end, when all must come to rest.
    pub(super) calm: bool,
}

#[derive(Debug, Clone, Copy)]
enum Report {
    Up(InstanceId),
    Broken(InstanceId),
    Gone(InstanceId),
}

impl Provider {
    pub(super) fn new(rng: Pcg64) -> Self {
        Self {
            rng,
            alive: BTreeSet::new(),
            stopped: BTreeSet::new(),
            mail: BTreeMap::new(),
            posted: 0,
            calm: false,
        }
    }

    pub(super) fn carry_out(&mut self, effect: &Effect, now: Timestamp, faults: &mut FaultCounts) {
        match *effect {
            Effect::Start { instance, .. } => self.start(instance, now, faults),
            Effect::Stop { instance, .. } => self.stop(instance, now, faults),
            Effect::Reset { instance, .. } | Effect::Verify { instance, .. } => {
                let report = match self.alive.contains(&instance) {
                    true if self.happens(0.05) => Report::Broken(instance),
                    true => Report::Up(instance),
                    false => Report::Gone(instance),
                };
                self.post(report, now, 300, faults);
            }
            Effect::Hold { .. } | Effect::Thaw { .. } | Effect::Notify { .. } => {}
        }
    }

    fn start(&mut self, instance: InstanceId, now: Timestamp, faults: &mut FaultCounts) {
        if self.stopped.contains(&instance) {
            return;
        }
        if self.alive.contains(&instance) {
            return self.post(Report::Up(instance), now, 100, faults);
        }
        if self.happens(0.08) {
            faults.count(Fault::StartFailed);
            return self.post(Report::Broken(instance), now, 3_000, faults);
        }
        self.alive.insert(instance);
        if self.happens(0.04) {
            faults.count(Fault::StartTooLong);
            return self.post(
                Report::Up(instance),
                now + Duration::from_secs(40),
                20_000,
                faults,
            );
        }
        self.post(Report::Up(instance), now, 9_000, faults);
    }

    pub(super) fn stop(&mut self, instance: InstanceId, now: Timestamp, faults: &mut FaultCounts) {
        self.alive.remove(&instance);
        self.stopped.insert(instance);
        self.post(Report::Gone(instance), now, 2_000, faults);
    }

    /// Now and then an instance dies.
    pub(super) fn wear(&mut self, now: Timestamp, faults: &mut FaultCounts) {
        if !self.happens(0.02) || self.alive.is_empty() {
            return;
        }
        let victim = self.rng.random_range(0..self.alive.len());
        if let Some(&instance) = self.alive.iter().nth(victim) {
            self.alive.remove(&instance);
            faults.count(Fault::InstanceDied);
            self.post(Report::Broken(instance), now, 4_000, faults);
        }
    }

    fn post(&mut self, report: Report, now: Timestamp, within_ms: u64, faults: &mut FaultCounts) {
        if self.happens(0.04) {
            faults.count(Fault::ReportLost);
            return;
        }
        let copies = if self.happens(0.08) {
            faults.count(Fault::ReportDuplicated);
            2
        } else {
            1
        };
        for _ in 0..copies {
            let mut after_ms = self.rng.random_range(0..within_ms);
            if self.happens(0.05) {
                faults.count(Fault::ReportLate);
                after_ms += self.rng.random_range(5_000..60_000);
            }
            self.posted += 1;
            let arrival = (now + Duration::from_millis(after_ms), self.posted);
            self.mail.insert(arrival, report);
        }
    }

    fn happens(&mut self, chance: f64) -> bool {
        self.rng.random_bool(chance) && !self.calm
    }

    /// The next report that has arrived by now.
    pub(super) fn deliver(&mut self, now: Timestamp) -> Option<Input> {
        let (&(at, number), _) = self.mail.first_key_value()?;
        if at > now {
            return None;
        }
        Some(match self.mail.remove(&(at, number))? {
            Report::Up(instance) => {
                let address = format!("10.0.0.1:{}", instance.0).into();
                if instance.0.is_multiple_of(GIVEN_EVERY) {
                    Input::Given { instance, address }
                } else {
                    Input::Ready { instance, address }
                }
            }
            Report::Broken(instance) => Input::Failed { instance },
            Report::Gone(instance) => Input::Gone { instance },
        })
    }

    /// The server died: some reports on their way go with it.
    pub(super) fn lose_mail(&mut self, faults: &mut FaultCounts) {
        for key in self.mail.keys().copied().collect::<Vec<_>>() {
            if self.happens(0.3) {
                faults.count(Fault::ReportLost);
                self.mail.remove(&key);
            }
        }
    }

    /// Instances that run.
    pub(super) fn alive(&self) -> &BTreeSet<InstanceId> {
        &self.alive
    }

    /// When the next report arrives.
    pub(super) fn next_arrival(&self) -> Option<Timestamp> {
        self.mail.keys().next().map(|&(at, _)| at)
    }
}
