//! The event loop: ticks and requests of one pool in order of time.

use std::{cmp::Reverse, collections::BinaryHeap};

use foreshadow_planner::{Inventory, Outcome, TargetPolicy};
use foreshadow_types::Timestamp;

use super::{
    PoolTrace, Setting, Tally,
    fleet::{FixedFleet, Fleet, RandomFleet},
};

/// The most instances a pool holds, whatever a policy asks for.
pub const MAX_TARGET: u32 = 1_000_000;

/// A pool at a tick, and what happened from it to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickRecord {
    /// The tick.
    pub at: Timestamp,
    /// The target set at it.
    pub target: u32,
    /// Ready and unpromised, once the target was applied.
    pub ready: u32,
    /// Starting and unpromised, once the target was applied.
    pub starting: u32,
    /// Requests from this tick until the next.
    pub demand: u32,
    /// Those that hit.
    pub hits: u32,
    /// Those that joined.
    pub joins: u32,
    /// Those that missed.
    pub misses: u32,
}

/// Sees each tick of a replay once the next one is due.
pub trait Probe {
    /// Takes note of a tick.
    fn tick(&mut self, record: &TickRecord);
}

/// Looks at nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn tick(&mut self, _: &TickRecord) {}
}

impl<F: FnMut(&TickRecord)> Probe for F {
    fn tick(&mut self, record: &TickRecord) {
        self(record);
    }
}

/// Replays one pool under a policy and counts over the scored window, waits included.
///
/// Ticks are at the start of the replay and each tick interval after it; what becomes ready at a
/// moment is ready for the tick and the requests of that moment, and the tick precedes the requests.
/// After a tick the pool holds exactly its target of unpromised instances, and again after each
/// request, since what is taken is replaced at once.
pub fn simulate<P, R>(pool: &PoolTrace, setting: &Setting, policy: &mut P, probe: &mut R) -> Tally
where
    P: TargetPolicy + ?Sized,
    R: Probe + ?Sized,
{
    replay(pool, setting, policy, probe, Tally::keeping_waits(setting))
}

/// As [`simulate`], without keeping waits: beside the log it takes memory for the pool alone.
pub fn score<P>(pool: &PoolTrace, setting: &Setting, policy: &mut P) -> Tally
where
    P: TargetPolicy + ?Sized,
{
    replay(pool, setting, policy, &mut NoProbe, Tally::new(setting))
}

/// As [`simulate`], counting into `tally`.
pub(crate) fn replay<P, R>(
    pool: &PoolTrace,
    setting: &Setting,
    policy: &mut P,
    probe: &mut R,
    tally: Tally,
) -> Tally
where
    P: TargetPolicy + ?Sized,
    R: Probe + ?Sized,
{
    let startup = setting.startup();
    if startup.is_fixed() {
        Replay::new(pool, FixedFleet::new(startup), tally).run(setting, policy, probe)
    } else {
        Replay::new(pool, RandomFleet::new(startup), tally).run(setting, policy, probe)
    }
}

struct Replay<'a, F> {
    pool: &'a PoolTrace,
    next: usize,
    fleet: F,
    tally: Tally,
    /// When the instances that requests wait for become ready, soonest first.
    promised_ms: BinaryHeap<Reverse<i64>>,
    /// Hits, joins and misses since the last tick.
    counts: [u32; 3],
}

impl<'a, F: Fleet> Replay<'a, F> {
    fn new(pool: &'a PoolTrace, fleet: F, tally: Tally) -> Self {
        Self {
            pool,
            next: 0,
            fleet,
            tally,
            promised_ms: BinaryHeap::new(),
            counts: [0; 3],
        }
    }

    fn run<P, R>(mut self, setting: &Setting, policy: &mut P, probe: &mut R) -> Tally
    where
        P: TargetPolicy + ?Sized,
        R: Probe + ?Sized,
    {
        let mut record = None;
        for tick_ms in setting.ticks_ms() {
            self.requests_before(tick_ms, policy);
            self.finish(record.take(), probe);
            record = Some(self.tick(tick_ms, policy));
        }
        let end_ms = setting.to().as_millis();
        self.requests_before(end_ms.saturating_add(1), policy);
        self.finish(record, probe);
        self.fleet.close(end_ms, &mut self.tally);
        self.tally
    }

    fn requests_before<P: TargetPolicy + ?Sized>(&mut self, until_ms: i64, policy: &mut P) {
        let times = self.pool.times_ms();
        while let Some(&now_ms) = times.get(self.next).filter(|&&at| at < until_ms) {
            let claim = self.fleet.claim(now_ms, &mut self.tally);
            self.tally.request(now_ms, claim.served_ms, claim.outcome);
            self.counts[claim.outcome as usize] += 1;
            if claim.outcome != Outcome::Hit {
                self.promised_ms.push(Reverse(claim.served_ms));
            }
            policy.observe(&self.pool.arrival(self.next), claim.outcome);
            self.next += 1;
        }
    }

    fn tick<P: TargetPolicy + ?Sized>(&mut self, now_ms: i64, policy: &mut P) -> TickRecord {
        while self.promised_ms.peek().is_some_and(|at| at.0 <= now_ms) {
            self.promised_ms.pop();
        }
        let (ready, starting) = self.fleet.count(now_ms);
        let at = Timestamp::from_millis(now_ms);
        let inventory = Inventory {
            ready,
            starting,
            // An instance that is taken leaves the pool for good.
            leased: 0,
            queued: self.promised_ms.len() as u32,
        };
        let target = policy.target(at, &inventory).min(MAX_TARGET);
        self.fleet.resize(now_ms, target, &mut self.tally);
        self.counts = [0; 3];
        let (ready, starting) = self.fleet.count(now_ms);
        TickRecord {
            at,
            target,
            ready,
            starting,
            demand: 0,
            hits: 0,
            joins: 0,
            misses: 0,
        }
    }

    fn finish<R: Probe + ?Sized>(&self, record: Option<TickRecord>, probe: &mut R) {
        if let Some(mut record) = record {
            [record.hits, record.joins, record.misses] = self.counts;
            record.demand = self.counts.iter().sum();
            probe.tick(&record);
        }
    }
}
