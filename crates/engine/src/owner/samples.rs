//! What tests of what the owner follows begin with.

use foreshadow_allocator::{Allocation, AllocationState, Binding, Event, EventKind, Hold, Served};
use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName, TenantId, Timestamp};

/// An allocation at time zero.
pub(super) fn allocation(id: u64, state: AllocationState) -> Allocation {
    let at = Timestamp::from_millis(0);
    Allocation {
        id: AllocationId(id),
        state,
        pool: PoolName::new("p").expect("the name is valid"),
        tenant: TenantId::new("t").expect("the name is valid"),
        user: None,
        application: None,
        created_at: at,
        available_at: at,
        warm: false,
        merged: false,
        served: Served::Nothing,
        instance: None,
        fencing_token: None,
        lease_expires_at: None,
        queue_position: None,
        estimated_wait: None,
    }
}

/// It is granted.
pub(super) fn granted(id: u64, at_ms: i64) -> Event {
    let binding = Binding::Granted {
        hold: Hold {
            instance: InstanceId(1),
            token: FencingToken(1),
        },
        expires_at: Timestamp::from_millis(at_ms + 90_000),
    };
    Event {
        at: Timestamp::from_millis(at_ms),
        kind: EventKind::AllocationBound {
            id: AllocationId(id),
            binding,
        },
    }
}
