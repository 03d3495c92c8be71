//! What is known of each instance, allocation and pool: the durable part of the state.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_types::{AllocationId, EntityId, FencingToken, InstanceId, PoolName, Timestamp};

use crate::{AllocationRequest, AllocationState, PoolSpec, Served};

/// Where an instance stands. Whether it is held is told by its allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// → Ready when the provider says so; → Stopping on failure, at the deadline, or when it is not
    /// wanted any more.
    Starting {
        /// When the start counts as failed.
        deadline: Timestamp,
    },
    /// → Resetting or Stopping after use; → Stopping on failure, age or when not wanted any more.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// → Ready when the provider says so; → Stopping on failure or at the deadline.
    Resetting {
        /// When the reset counts as failed.
        deadline: Timestamp,
    },
    /// → gone when the provider says so; asked for again at `retry_at`.
    Stopping {
        /// When to ask again.
        retry_at: Timestamp,
    },
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstanceRecord {
    /// Its id.
    pub id: InstanceId,
    /// Its pool.
    pub pool: PoolName,
    /// Revision of the pool's definition that it was started from.
    pub revision: u64,
    /// When its start was decided.
    pub requested_at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// Where to reach it, once known.
    pub address: Option<Arc<str>>,
    /// Token of the newest hold; zero if it was never held.
    pub token: FencingToken,
    /// Whether somebody has used it since it was started or cleaned.
    pub used: bool,
    /// Whether it is to stop as soon as nobody holds it.
    pub draining: bool,
}

/// The tie between an allocation and its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The instance.
    pub instance: InstanceId,
    /// The token of this hold; all who share the instance at one time have the same.
    pub token: FencingToken,
}

/// How an allocation stands to the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// In the queue.
    Queued {
        /// Its turn among the requests of the same priority: one request of each tenant a round.
        round: u64,
        /// When it gives up.
        until: Timestamp,
    },
    /// For a time ahead.
    Booked {
        /// Whether the pool is expected to cover it; if not, it is queued for that time.
        firm: bool,
        /// When an instance is set aside for it.
        prepare_at: Timestamp,
        /// The instance set aside.
        promised: Option<Hold>,
    },
    /// On a starting instance.
    Joined {
        /// Which.
        hold: Hold,
        /// When it gives up.
        until: Timestamp,
    },
    /// On a ready instance.
    Granted {
        /// Which.
        hold: Hold,
        /// When the lease ends.
        expires_at: Timestamp,
    },
    /// Over.
    Ended {
        /// How.
        state: AllocationState,
        /// When.
        at: Timestamp,
        /// What it held at the end.
        hold: Option<Hold>,
    },
}

impl Binding {
    /// The instance that it occupies now.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            Self::Queued { .. } | Self::Ended { .. } => None,
            Self::Booked { promised, .. } => *promised,
            Self::Joined { hold, .. } | Self::Granted { hold, .. } => Some(*hold),
        }
    }

    /// The state that the caller sees.
    pub fn state(&self) -> AllocationState {
        match self {
            Self::Queued { .. } | Self::Booked { firm: false, .. } => AllocationState::Queued,
            Self::Booked { firm: true, .. } => AllocationState::Booked,
            Self::Joined { .. } => AllocationState::Joined,
            Self::Granted { .. } => AllocationState::Granted,
            Self::Ended { state, .. } => *state,
        }
    }
}

/// One allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllocationRecord {
    /// Its id.
    pub id: AllocationId,
    /// What was asked for.
    pub request: Arc<AllocationRequest>,
    /// The pool that serves it.
    pub pool: PoolName,
    /// Its rank in the queue: the higher is served first. See [`crate::PriorityWeights`].
    pub rank: i32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How it was served at first.
    pub served: Served,
    /// Whether it shares its instance with an earlier allocation.
    pub merged: bool,
    /// Where it stands.
    pub binding: Binding,
}

/// One pool, without its instances and allocations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolRecord {
    /// Its definition.
    pub spec: Arc<PoolSpec>,
    /// Whether it is on its way out.
    pub retired: bool,
    /// Warm instances asked for by the plan in force.
    pub target: u32,
    /// Warm instances set aside and not yet taken, for each entity.
    pub reservations: BTreeMap<EntityId, u32>,
    /// Demand predicted by the plan in force; see [`crate::PoolPlan::predicted_demand`].
    pub predicted_demand: Vec<(Timestamp, u32)>,
    /// The last start-up times in milliseconds, oldest first.
    pub startups_ms: Vec<u32>,
    /// Running mean of the time between two ends of leases, in microseconds; zero if unknown.
    pub turnover_us: u64,
    /// When a lease ended last.
    pub last_end: Option<Timestamp>,
    /// Starts that failed, ever.
    pub failed_starts: u64,
    /// Starts that failed since the last that did not.
    pub failed_starts_in_a_row: u32,
    /// No start before this time, after failures.
    pub starts_blocked_until: Option<Timestamp>,
}

/// Where the numbering stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counters {
    /// The next instance id.
    pub next_instance: u64,
    /// The next allocation id.
    pub next_allocation: u64,
    /// The next fencing token.
    pub next_token: u64,
    /// Generation of the plan in force.
    pub plan_generation: u64,
}
