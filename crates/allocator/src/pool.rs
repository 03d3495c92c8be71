//! The definition of a pool, and what it looks like from outside.

use std::{collections::BTreeSet, time::Duration};

use foreshadow_types::{InstanceCount, Labels, PoolName, Shape};
use thiserror::Error;

/// What happens to an instance when its last holder has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recycle {
    /// It is stopped and another is started in its place.
    Delete,
    /// The provider cleans it, then it is ready again.
    Reset,
    /// It is ready again at once.
    Reuse,
}

/// How a ready instance waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldMode {
    /// Running.
    Run,
    /// Frozen, thawed when it is claimed.
    Freeze,
}

/// A pool: a kind of interchangeable resource. The provider's side of it (a command, an image) is
/// known to the driver alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Its name.
    pub name: PoolName,
    /// Changes when instances must be replaced because their definition did.
    pub revision: u64,
    /// What one instance offers.
    pub shape: Shape,
    /// What is installed.
    pub dependencies: BTreeSet<String>,
    /// Its labels.
    pub labels: Labels,
    /// Warm instances kept whatever the plan says.
    pub min: InstanceCount,
    /// Most instances at a time in any state, those that are stopping included.
    pub max: InstanceCount,
    /// What happens to an instance after use.
    pub recycle: Recycle,
    /// How a ready instance waits.
    pub hold: HoldMode,
    /// How many allocations of one tenant share an instance by capacity; 1 is exclusive.
    pub shares: u32,
    /// Start-up time assumed until starts have been measured.
    pub startup: Duration,
    /// A start that takes longer has failed.
    pub start_timeout: Duration,
    /// A stop that takes longer is asked for again.
    pub stop_timeout: Duration,
    /// A warm instance older than this is replaced; `None` keeps it for ever.
    pub max_age: Option<Duration>,
    /// Most requests waiting.
    pub max_queue: u32,
    /// How long a request waits that does not say.
    pub max_wait: Duration,
    /// How long a lease lasts that does not say.
    pub lease_duration: Duration,
    /// How long a booked instance waits for its holder after its availability time.
    pub grace: Duration,
}

impl PoolSpec {
    /// A pool with defaults: one exclusive instance at the most, deleted after use.
    pub fn new(name: PoolName) -> Self {
        Self {
            name,
            revision: 0,
            shape: Shape::default(),
            dependencies: BTreeSet::new(),
            labels: Labels::new(),
            min: InstanceCount(0),
            max: InstanceCount(1),
            recycle: Recycle::Delete,
            hold: HoldMode::Run,
            shares: 1,
            startup: Duration::from_secs(30),
            start_timeout: Duration::from_mins(5),
            stop_timeout: Duration::from_secs(30),
            max_age: None,
            max_queue: 1_000,
            max_wait: Duration::from_mins(5),
            lease_duration: Duration::from_mins(5),
            grace: Duration::from_mins(1),
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`PoolSpecError`] names the pool and the field.
    pub fn check(&self) -> Result<(), PoolSpecError> {
        let refused = |field, reason| {
            Err(PoolSpecError {
                pool: self.name.clone(),
                field,
                reason,
            })
        };
        if self.min > self.max {
            return refused("min", "is above max");
        }
        if self.max.0 > MAX_POOL {
            return refused("max", "is above 1,000,000 instances");
        }
        if self.max_queue > MAX_QUEUE {
            return refused("max_queue", "is above 1,000,000 requests");
        }
        if self.shares == 0 {
            return refused("shares", "is zero; 1 means that instances are not shared");
        }
        if self.lease_duration.is_zero() {
            return refused("lease_duration", "is zero");
        }
        if self.start_timeout.is_zero() || self.stop_timeout.is_zero() {
            return refused("start_timeout or stop_timeout", "is zero");
        }
        if self.max_age.is_some_and(|age| age.is_zero()) {
            return refused("max_age", "is zero; leave it out to keep instances");
        }
        Ok(())
    }
}

/// Most instances of a pool.
pub const MAX_POOL: u32 = 1_000_000;
/// Most requests waiting for a pool.
pub const MAX_QUEUE: u32 = 1_000_000;

/// Why a pool's definition was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("pool {pool}: {field} {reason}")]
pub struct PoolSpecError {
    /// The pool.
    pub pool: PoolName,
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A pool's numbers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// Its name.
    pub name: PoolName,
    /// Ready or starting instances without a holder that the adopted plan asks for.
    pub target: u32,
    /// Ready instances without a holder.
    pub ready: u32,
    /// Starting (or being reset) instances without a holder.
    pub starting: u32,
    /// Instances with a holder, those still starting included.
    pub leased: u32,
    /// Instances on their way out.
    pub stopping: u32,
    /// All of the above.
    pub total: u32,
    /// Most instances at a time.
    pub max: u32,
    /// Requests waiting.
    pub queued: u32,
    /// Requests for a time ahead.
    pub booked: u32,
    /// Warm instances set aside for entities and not yet taken.
    pub reserved: u32,
    /// Median start-up time of the last starts.
    pub startup_typical: Duration,
    /// 0.9 quantile of the last starts.
    pub startup_slow: Duration,
    /// Starts that failed, ever.
    pub failed_starts: u64,
    /// Starts that failed since the last that did not: what a circuit breaker looks at.
    pub failed_starts_in_a_row: u32,
    /// Generation of the plan in force.
    pub plan_generation: u64,
}
