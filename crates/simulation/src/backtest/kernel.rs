//! The event loop: ticks and requests of one pool in order of time.

use foreshadow_planner::TargetPolicy;
use foreshadow_types::Timestamp;

use super::{
    PoolTrace, Setting, Tally, Walk,
    fleet::{FixedFleet, Fleet, RandomFleet, StartReport},
    replica::Replica,
    strained::StrainedFleet,
};

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
    /// Requests from this tick until the next, but for those that are shown to no policy as demand.
    pub demand: u32,
    /// Requests that hit.
    pub hits: u32,
    /// Requests that joined.
    pub joins: u32,
    /// Requests that missed.
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
/// request, since what is taken is replaced at once; fewer only where it may hold no more.
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
    if setting.is_strained() {
        Replay::new(pool, setting, StrainedFleet::new(setting), tally).run(setting, policy, probe)
    } else if startup.is_fixed() {
        Replay::new(pool, setting, FixedFleet::new(startup), tally).run(setting, policy, probe)
    } else {
        Replay::new(pool, setting, RandomFleet::new(startup), tally).run(setting, policy, probe)
    }
}

struct Replay<'a, F> {
    pool: &'a PoolTrace,
    /// The times of the requests to come, the first of which is `next`.
    times: Walk<'a>,
    next: usize,
    replica: Replica<F>,
}

impl<'a, F: Fleet> Replay<'a, F> {
    fn new(pool: &'a PoolTrace, setting: &Setting, fleet: F, tally: Tally) -> Self {
        Self {
            pool,
            times: pool.times_ms().walk(),
            next: 0,
            replica: Replica::new(pool, setting, fleet, tally),
        }
    }

    fn run<P, R>(mut self, setting: &Setting, policy: &mut P, probe: &mut R) -> Tally
    where
        P: TargetPolicy + ?Sized,
        R: Probe + ?Sized,
    {
        for tick_ms in setting.ticks_ms() {
            self.requests_before(tick_ms, policy);
            self.replica.report(probe);
            self.advance(tick_ms, policy);
            let inventory = self.replica.inventory(tick_ms);
            let target = policy.target(Timestamp::from_millis(tick_ms), &inventory);
            self.replica.resize(tick_ms, target);
        }
        let end_ms = setting.to().as_millis();
        self.requests_before(end_ms.saturating_add(1), policy);
        self.replica.report(probe);
        self.advance(end_ms, policy);
        self.replica.close(end_ms)
    }

    #[inline]
    fn advance<P: TargetPolicy + ?Sized>(&mut self, now_ms: i64, policy: &mut P) {
        self.replica.advance(now_ms, |report| match report {
            StartReport::Succeeded { took } => policy.start_succeeded(took),
            StartReport::Failed { at_ms } => policy.start_failed(Timestamp::from_millis(at_ms)),
        });
    }

    fn requests_before<P: TargetPolicy + ?Sized>(&mut self, until_ms: i64, policy: &mut P) {
        while let Some(now_ms) = self.times.peek().filter(|&at| at < until_ms) {
            self.advance(now_ms, policy);
            let claim = self.replica.claim(self.pool, self.next, now_ms);
            let arrival = self.pool.arrival_at(self.next, now_ms);
            let arrival = arrival.served_after(claim.wait(now_ms));
            let outcome = claim.outcome;
            if self.pool.is_merged(self.next) {
                policy.observe_merged(&arrival, outcome);
            } else {
                policy.observe(&arrival, outcome);
            }
            self.times.next();
            self.next += 1;
        }
    }
}
