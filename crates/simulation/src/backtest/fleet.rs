//! The unpromised instances of one pool.
//!
//! A request takes the oldest ready instance, so that none waits in the pool for ever. With a fixed
//! start-up time the order of starting is the order of becoming ready, and one queue holds both
//! kinds: those at its front are ready, those behind are starting.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use foreshadow_planner::{MissCause, Outcome};

use super::{StartupTime, Tally, startup::StartupDraws};

/// What a request got, and when it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) outcome: Outcome,
    pub(crate) served_ms: i64,
    /// What kept the pool from serving it, beyond the policy's target.
    pub(crate) trouble: Option<MissCause>,
}

impl Claim {
    /// Of an instance that is or will be ready at `ready_ms`.
    pub(crate) fn of_instance(ready_ms: i64, now_ms: i64) -> Self {
        let outcome = if ready_ms <= now_ms {
            Outcome::Hit
        } else {
            Outcome::Join
        };
        Self {
            outcome,
            served_ms: ready_ms.max(now_ms),
            trouble: None,
        }
    }

    /// How long a request that came at `now_ms` waits.
    #[inline]
    pub(crate) fn wait(&self, now_ms: i64) -> Duration {
        Duration::from_millis((self.served_ms - now_ms).max(0) as u64)
    }

    /// Of an instance of its own, ready at `ready_ms`.
    pub(crate) fn of_its_own(ready_ms: i64) -> Self {
        Self {
            outcome: Outcome::Miss,
            served_ms: ready_ms,
            trouble: None,
        }
    }
}

/// A start came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartReport {
    /// The instance is ready, so long after it was asked for.
    Succeeded { took: Duration },
    /// It failed then, and is tried again.
    Failed { at_ms: i64 },
}

/// The instances of a pool that nobody has been promised.
///
/// Times never go back from one call to the next.
pub(crate) trait Fleet {
    /// Lets everything up to and at `now` happen that no call brings about.
    #[inline]
    fn advance(&mut self, _now_ms: i64, _tally: &mut Tally) {}

    /// The next start that came to its end, where starts may fail or take different times.
    #[inline]
    fn next_report(&mut self) -> Option<StartReport> {
        None
    }

    /// Instances that are promised to requests or held by them, where they count.
    fn leased(&self) -> u32 {
        0
    }

    /// Counts (ready, starting) at `now`.
    fn count(&mut self, now_ms: i64) -> (u32, u32);

    /// Starts or stops instances until `target` remain, starting ones and newest first, then ready
    /// ones and oldest first.
    fn resize(&mut self, now_ms: i64, target: u32, tally: &mut Tally);

    /// Serves a request that holds its instance for `hold_ms` and starts the replacement of the one it
    /// took.
    fn claim(&mut self, now_ms: i64, hold_ms: i64, tally: &mut Tally) -> Claim;

    /// Stops everything at the end of the replay.
    fn close(&mut self, now_ms: i64, tally: &mut Tally);
}

/// Instances that all take the same time to start.
#[derive(Debug)]
pub(crate) struct FixedFleet {
    startup_ms: i64,
    /// When each instance was started, oldest first.
    started_ms: VecDeque<i64>,
}

impl FixedFleet {
    pub(crate) fn new(startup: StartupTime) -> Self {
        Self {
            startup_ms: startup.typical().as_millis() as i64,
            started_ms: VecDeque::new(),
        }
    }

    fn start(&mut self, now_ms: i64, tally: &mut Tally) {
        self.started_ms.push_back(now_ms);
        tally.start(now_ms);
    }
}

impl Fleet for FixedFleet {
    fn count(&mut self, now_ms: i64) -> (u32, u32) {
        let startup_ms = self.startup_ms;
        let ready = self
            .started_ms
            .partition_point(|&started| started + startup_ms <= now_ms);
        (ready as u32, (self.started_ms.len() - ready) as u32)
    }

    fn resize(&mut self, now_ms: i64, target: u32, tally: &mut Tally) {
        while self.started_ms.len() < target as usize {
            self.start(now_ms, tally);
        }
        while self.started_ms.len() > target as usize {
            let newest_starts = self
                .started_ms
                .back()
                .is_some_and(|&started| started + self.startup_ms > now_ms);
            let stopped = if newest_starts {
                self.started_ms.pop_back()
            } else {
                self.started_ms.pop_front()
            };
            if let Some(started) = stopped {
                tally.idle(started, now_ms);
            }
        }
    }

    #[inline]
    fn claim(&mut self, now_ms: i64, _: i64, tally: &mut Tally) -> Claim {
        let Some(started) = self.started_ms.pop_front() else {
            tally.start(now_ms);
            return Claim::of_its_own(now_ms + self.startup_ms);
        };
        self.start(now_ms, tally);
        let ready_ms = started + self.startup_ms;
        tally.idle(ready_ms, now_ms);
        Claim::of_instance(ready_ms, now_ms)
    }

    fn close(&mut self, now_ms: i64, tally: &mut Tally) {
        for started in self.started_ms.drain(..) {
            tally.idle(started, now_ms);
        }
    }
}

/// Instances whose start-up times differ, so that a later one may be ready first.
#[derive(Debug)]
pub(crate) struct RandomFleet {
    draws: StartupDraws,
    next: u64,
    /// (started, ready) of each starting instance by number; numbers ascend with starts.
    starting: BTreeMap<u64, (i64, i64)>,
    /// When each starting instance was started, by (ready, number); promised ones too.
    by_ready: BTreeMap<(i64, u64), i64>,
    /// (started, ready) in order of ready.
    ready: VecDeque<(i64, i64)>,
    reports: VecDeque<StartReport>,
}

impl RandomFleet {
    pub(crate) fn new(startup: StartupTime) -> Self {
        Self {
            draws: startup.draws(),
            next: 0,
            starting: BTreeMap::new(),
            by_ready: BTreeMap::new(),
            ready: VecDeque::new(),
            reports: VecDeque::new(),
        }
    }

    fn settle(&mut self, now_ms: i64) {
        while let Some(entry) = self.by_ready.first_entry() {
            let (ready_ms, number) = *entry.key();
            if ready_ms > now_ms {
                break;
            }
            let took = Duration::from_millis((ready_ms - entry.remove()).max(0) as u64);
            self.reports.push_back(StartReport::Succeeded { took });
            if let Some(times) = self.starting.remove(&number) {
                self.ready.push_back(times);
            }
        }
    }

    /// The number of a start from now on, and when it will be ready.
    fn draw(&mut self, now_ms: i64, tally: &mut Tally) -> (u64, i64) {
        let (number, ready_ms) = (self.next, now_ms + self.draws.next_ms());
        self.next += 1;
        self.by_ready.insert((ready_ms, number), now_ms);
        tally.start(now_ms);
        (number, ready_ms)
    }

    fn start(&mut self, now_ms: i64, tally: &mut Tally) {
        let (number, ready_ms) = self.draw(now_ms, tally);
        self.starting.insert(number, (now_ms, ready_ms));
    }

    fn len(&self) -> usize {
        self.starting.len() + self.ready.len()
    }

    fn claimed(&mut self, now_ms: i64) -> Option<(i64, i64)> {
        if let Some(times) = self.ready.pop_front() {
            return Some(times);
        }
        let (_, times) = self.starting.pop_first()?;
        debug_assert!(times.1 > now_ms, "what is ready has left the starting ones");
        Some(times)
    }
}

impl Fleet for RandomFleet {
    fn advance(&mut self, now_ms: i64, _: &mut Tally) {
        self.settle(now_ms);
    }

    fn next_report(&mut self) -> Option<StartReport> {
        self.reports.pop_front()
    }

    fn count(&mut self, now_ms: i64) -> (u32, u32) {
        self.settle(now_ms);
        (self.ready.len() as u32, self.starting.len() as u32)
    }

    fn resize(&mut self, now_ms: i64, target: u32, tally: &mut Tally) {
        self.settle(now_ms);
        while self.len() < target as usize {
            self.start(now_ms, tally);
        }
        while self.len() > target as usize {
            let started = match self.starting.pop_last() {
                Some((number, (started, ready_ms))) => {
                    self.by_ready.remove(&(ready_ms, number));
                    Some(started)
                }
                None => self.ready.pop_front().map(|(started, _)| started),
            };
            if let Some(started) = started {
                tally.idle(started, now_ms);
            }
        }
    }

    fn claim(&mut self, now_ms: i64, _: i64, tally: &mut Tally) -> Claim {
        self.settle(now_ms);
        let Some((_, ready_ms)) = self.claimed(now_ms) else {
            return Claim::of_its_own(self.draw(now_ms, tally).1);
        };
        self.start(now_ms, tally);
        tally.idle(ready_ms, now_ms);
        Claim::of_instance(ready_ms, now_ms)
    }

    fn close(&mut self, now_ms: i64, tally: &mut Tally) {
        let starting = std::mem::take(&mut self.starting).into_values();
        for (started, _) in starting.chain(self.ready.drain(..)) {
            tally.idle(started, now_ms);
        }
        self.by_ready.clear();
    }
}
