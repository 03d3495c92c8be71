//! One pool under one policy: what it holds, what it served, what it cost.

use std::{cmp::Reverse, collections::BinaryHeap};

use foreshadow_planner::{Inventory, Outcome};
use foreshadow_types::Timestamp;

use super::{
    PoolTrace, Probe, Setting, Tally, TickRecord,
    causes::Causes,
    fleet::{Claim, Fleet, StartReport},
    sharing::Sharing,
};

/// The most instances a pool holds, whatever a policy asks for.
pub const MAX_TARGET: u32 = 1_000_000;

pub(crate) struct Replica<F> {
    fleet: F,
    tally: Tally,
    causes: Causes,
    /// Who holds instances that others may share.
    sharing: Option<Sharing>,
    /// The target in force.
    target: u32,
    /// When the instances that requests wait for become ready, soonest first.
    promised_ms: BinaryHeap<Reverse<i64>>,
    /// Hits, joins and misses since the last tick.
    counts: [u32; 3],
    /// Demand since the last tick.
    demand: u32,
    /// The last tick, until it is reported.
    record: Option<TickRecord>,
}

impl<F: Fleet> Replica<F> {
    pub(crate) fn new(pool: &PoolTrace, setting: &Setting, fleet: F, tally: Tally) -> Self {
        Self {
            fleet,
            tally,
            causes: Causes::new(setting),
            sharing: pool.sharing(),
            target: 0,
            promised_ms: BinaryHeap::new(),
            counts: [0; 3],
            demand: 0,
            record: None,
        }
    }

    /// Lets everything up to and at `now` happen that neither a tick nor a request brings about, and
    /// tells of starts that came to their end.
    #[inline]
    pub(crate) fn advance(&mut self, now_ms: i64, mut tell: impl FnMut(StartReport)) {
        self.fleet.advance(now_ms, &mut self.tally);
        while let Some(report) = self.fleet.next_report() {
            tell(report);
        }
    }

    /// Serves request `index` of the pool, which comes now.
    #[inline]
    pub(crate) fn claim(&mut self, pool: &PoolTrace, index: usize, now_ms: i64) -> Claim {
        let claim = if self.sharing.is_some() {
            self.share(pool, index)
        } else {
            let hold_ms = pool.hold_ms(index);
            self.fleet.claim(now_ms, hold_ms, &mut self.tally)
        };
        let who = || pool.arrival_at(index, now_ms).who();
        self.tally
            .request(now_ms, claim.served_ms, claim.outcome, who);
        self.counts[claim.outcome as usize] += 1;
        self.demand += u32::from(!pool.is_merged(index));
        if claim.outcome != Outcome::Hit {
            self.promised_ms.push(Reverse(claim.served_ms));
            self.explain(pool, index, &claim);
        }
        claim
    }

    /// By an instance that others hold, or else by one of the pool, which others may share then.
    fn share(&mut self, pool: &PoolTrace, index: usize) -> Claim {
        let (guest, fleet, tally) = (pool.guest(index), &mut self.fleet, &mut self.tally);
        let Some(sharing) = &mut self.sharing else {
            return fleet.claim(guest.at_ms, guest.hold_ms, tally);
        };
        if let Some(claim) = sharing.serve(&guest, || fleet.count(guest.at_ms).0 > 0) {
            tally.shared(guest.at_ms, claim.outcome);
            return claim;
        }
        let claim = fleet.claim(guest.at_ms, guest.hold_ms, tally);
        sharing.take(&guest, &claim);
        claim
    }

    fn explain(&mut self, pool: &PoolTrace, index: usize, claim: &Claim) {
        if self.tally.keeps_waits() {
            let cause = self.causes.of(pool, index, claim, self.target);
            self.tally.cause(pool.times_ms().at(index), cause);
        }
    }

    /// What it holds at a tick.
    pub(crate) fn inventory(&mut self, now_ms: i64) -> Inventory {
        while self.promised_ms.peek().is_some_and(|at| at.0 <= now_ms) {
            self.promised_ms.pop();
        }
        let (ready, starting) = self.fleet.count(now_ms);
        Inventory {
            ready,
            starting,
            leased: self.fleet.leased(),
            queued: self.promised_ms.len() as u32,
        }
    }

    /// Applies the target of a tick.
    pub(crate) fn resize(&mut self, now_ms: i64, target: u32) {
        let target = target.min(MAX_TARGET);
        self.target = target;
        self.fleet.resize(now_ms, target, &mut self.tally);
        self.counts = [0; 3];
        self.demand = 0;
        let (ready, starting) = self.fleet.count(now_ms);
        self.record = Some(TickRecord {
            at: Timestamp::from_millis(now_ms),
            target,
            ready,
            starting,
            demand: 0,
            hits: 0,
            joins: 0,
            misses: 0,
        });
    }

    /// Tells `probe` of the last tick and what came since.
    pub(crate) fn report<R: Probe + ?Sized>(&mut self, probe: &mut R) {
        if let Some(mut record) = self.record.take() {
            [record.hits, record.joins, record.misses] = self.counts;
            record.demand = self.demand;
            probe.tick(&record);
        }
    }

    /// Stops everything at the end and gives the counts.
    pub(crate) fn close(mut self, end_ms: i64) -> Tally {
        self.fleet.close(end_ms, &mut self.tally);
        self.tally
    }
}
