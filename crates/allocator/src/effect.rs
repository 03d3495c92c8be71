//! What the driver has to do once the events are durable.

use foreshadow_types::{AllocationId, InstanceId, PoolName};

/// One thing to do, in the order given. All are safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start an instance, then report `Ready` or `Failed`.
    Start {
        /// Its id, minted beforehand.
        instance: InstanceId,
        /// Of which pool.
        pool: PoolName,
    },
    /// Stop an instance, then report `Gone`, also if there is none.
    Stop {
        /// Its id.
        instance: InstanceId,
        /// Of which pool.
        pool: PoolName,
    },
    /// Clean an instance after use, then report `Ready` or `Failed`.
    Reset {
        /// Its id.
        instance: InstanceId,
        /// Of which pool.
        pool: PoolName,
    },
    /// Freeze a warm instance.
    Hold {
        /// Its id.
        instance: InstanceId,
        /// Of which pool.
        pool: PoolName,
    },
    /// Thaw an instance that has been claimed.
    Thaw {
        /// Its id.
        instance: InstanceId,
        /// Of which pool.
        pool: PoolName,
    },
    /// After a restart: find out whether an instance still lives; report `Ready`, `Failed` or
    /// `Gone`.
    Verify {
        /// Its id.
        instance: InstanceId,
        /// Of which pool.
        pool: PoolName,
    },
    /// Tell whoever watches this allocation that it has changed.
    Notify {
        /// Which allocation.
        allocation: AllocationId,
    },
}
