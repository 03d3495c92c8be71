//! What a pool's driver tells a policy, and what it asks of it.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::misses::MissCounts;

/// One request as a policy sees it, at the moment it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrived.
    pub at: Timestamp,
    /// A stable hash of who asked; 0 when unknown.
    pub user: u64,
    /// A stable hash of the application it is for; 0 when unknown.
    pub application: u64,
    /// How long after the request its use ends, a wait for the instance included, or
    /// [`UNTIL_RELEASED`](Self::UNTIL_RELEASED); absent where nothing is known of it.
    pub hold: Option<Duration>,
}

impl Arrival {
    /// A hold whose end will be told by [`observe_release`](crate::PoolPlanner::observe_release).
    pub const UNTIL_RELEASED: Duration = Duration::MAX;

    /// The request when it is served only after a wait, so that its use ends so much later.
    #[must_use]
    pub fn served_after(self, wait: Duration) -> Self {
        Self {
            hold: self.hold.map(|hold| hold.saturating_add(wait)),
            ..self
        }
    }

    /// Who asked: the user, or else the application; 0 when neither is known.
    pub fn who(&self) -> u64 {
        if self.user == 0 {
            self.application
        } else {
            self.user
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Bound to an instance that was ready: no wait.
    Hit,
    /// Attached to an instance that was already starting: waits for the rest of its start.
    Join,
    /// Nothing was there: an instance was started for it.
    Miss,
}

/// What became of a request, and what only the driver knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fared {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether an instance was ready that it could have had, had it asked for a smaller shape.
    pub shape_mismatch: bool,
}

impl From<Outcome> for Fared {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            shape_mismatch: false,
        }
    }
}

/// What a pool holds at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Ready and not promised to anyone.
    pub ready: u32,
    /// Starting and not promised to anyone.
    pub starting: u32,
    /// Given to requests.
    pub leased: u32,
    /// Requests that wait.
    pub queued: u32,
}

/// A rule that sizes one pool.
///
/// The driver calls [`observe`](Self::observe) for each request in order of time and
/// [`target`](Self::target) at each tick; a tick precedes the requests of the same moment. A policy
/// therefore never learns of a request at or after the tick it answers.
pub trait TargetPolicy {
    /// Takes note of a request and what became of it.
    fn observe(&mut self, arrival: &Arrival, outcome: Outcome);

    /// Takes note of a request that shares an instance which others hold: it is served, or waits, but
    /// takes nothing from the pool, and so is no demand.
    fn observe_merged(&mut self, arrival: &Arrival, outcome: Outcome);

    /// How many unpromised instances, ready and starting together, the pool should hold from `now`
    /// until the next tick.
    fn target(&mut self, now: Timestamp, inventory: &Inventory) -> u32;

    /// Takes note that an instance became ready, `took` after it was asked for. Told where starts may
    /// fail or take different times.
    fn start_succeeded(&mut self, _took: Duration) {}

    /// Takes note that a start failed.
    fn start_failed(&mut self, _now: Timestamp) {}
}

/// Rules that size several replicas of one pool on the same requests, each by an aim of its own.
///
/// The order of calls is that of [`TargetPolicy`].
pub trait TargetPolicies {
    /// Takes note of a request and what became of it in each replica.
    fn observe(&mut self, arrival: &Arrival, outcomes: &[Outcome]);

    /// Takes note of a request that shares an instance which others hold; see
    /// [`TargetPolicy::observe_merged`].
    fn observe_merged(&mut self, arrival: &Arrival, outcomes: &[Outcome]);

    /// The target of each replica, given what each holds.
    fn targets(&mut self, now: Timestamp, inventories: &[Inventory]) -> Vec<u32>;

    /// Takes note that an instance of a replica became ready, `took` after it was asked for. Told where
    /// starts may fail or take different times.
    fn start_succeeded(&mut self, _replica: usize, _took: Duration) {}

    /// Takes note that a start in a replica failed.
    fn start_failed(&mut self, _replica: usize, _now: Timestamp) {}

    /// How many requests waited so far in each replica, by cause.
    fn misses(&self) -> Vec<MissCounts>;
}

/// A hash of a name that is the same in every build and on every machine, and never 0 (FNV-1a).
pub fn stable_hash(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}
