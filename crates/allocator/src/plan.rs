//! The plan as the allocator adopts it.

use foreshadow_types::{EntityId, InstanceCount, PoolName, Timestamp};

/// What to keep warm, renewed each tick.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AdoptedPlan {
    /// Rises with each plan; a plan that is not newer than the one in force is refused.
    pub generation: u64,
    /// One entry for each pool that the plan speaks of; others keep what they had.
    pub pools: Vec<PoolPlan>,
}

/// What to keep warm in one pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolPlan {
    /// The pool.
    pub pool: PoolName,
    /// How many instances to keep ready or starting without a holder. Bounded by the pool's limits
    /// on adoption, and never below its reservations.
    pub target: InstanceCount,
    /// Instances kept for entities, over and above what they hold already.
    pub reservations: Vec<Reservation>,
    /// Demand predicted from now on: how many instances will have been asked for, in all, by each
    /// time (rising in both). Empty means that nothing is predicted.
    pub predicted_demand: Vec<(Timestamp, u32)>,
}

/// Warm instances that only one user or application may take.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// For whom.
    pub entity: EntityId,
    /// How many.
    pub count: InstanceCount,
}
