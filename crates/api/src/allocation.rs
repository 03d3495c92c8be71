//! Allocations as they are answered.

use foreshadow_allocator::{Allocation, AllocationState};

use crate::{
    FieldError, duration_to_proto, timestamp_to_proto,
    v1::{self, allocation},
};

/// An allocation for the wire.
pub fn allocation_to_proto(
    domain: Allocation,
    durability: allocation::Durability,
) -> v1::Allocation {
    v1::Allocation {
        allocation_id: domain.id.to_string(),
        state: state_to_proto(domain.state).into(),
        warm: domain.warm,
        merged: domain.merged,
        instance: domain.instance.map(|instance| allocation::Instance {
            id: instance.id.to_string(),
            address: instance.address.as_deref().unwrap_or_default().to_owned(),
        }),
        fencing_token: domain.fencing_token.map_or(0, |token| token.0),
        lease_expires_at: domain.lease_expires_at.map(timestamp_to_proto),
        queue_position: domain.queue_position.unwrap_or(0),
        estimated_wait: domain.estimated_wait.map(duration_to_proto),
        durability: durability.into(),
        pool: domain.pool.to_string(),
        tenant_id: domain.tenant.to_string(),
        user_id: domain.user.map(|user| user.to_string()).unwrap_or_default(),
        application_id: domain
            .application
            .map(|a| a.to_string())
            .unwrap_or_default(),
        requested_at: Some(timestamp_to_proto(domain.created_at)),
        availability_time: Some(timestamp_to_proto(domain.available_at)),
    }
}

/// A state for the wire.
pub fn state_to_proto(state: AllocationState) -> allocation::State {
    match state {
        AllocationState::Queued => allocation::State::Queued,
        AllocationState::Booked => allocation::State::Booked,
        AllocationState::Joined => allocation::State::Joined,
        AllocationState::Granted => allocation::State::Granted,
        AllocationState::Released => allocation::State::Released,
        AllocationState::Expired => allocation::State::Expired,
        AllocationState::Cancelled => allocation::State::Cancelled,
        AllocationState::Rejected => allocation::State::Rejected,
        AllocationState::Lost => allocation::State::Lost,
    }
}

/// A state of the wire.
///
/// # Errors
/// [`FieldError`] if it is unspecified or unknown.
pub fn state_from_proto(field: &str, wire: i32) -> Result<AllocationState, FieldError> {
    match allocation::State::try_from(wire) {
        Ok(allocation::State::Queued) => Ok(AllocationState::Queued),
        Ok(allocation::State::Booked) => Ok(AllocationState::Booked),
        Ok(allocation::State::Joined) => Ok(AllocationState::Joined),
        Ok(allocation::State::Granted) => Ok(AllocationState::Granted),
        Ok(allocation::State::Released) => Ok(AllocationState::Released),
        Ok(allocation::State::Expired) => Ok(AllocationState::Expired),
        Ok(allocation::State::Cancelled) => Ok(AllocationState::Cancelled),
        Ok(allocation::State::Rejected) => Ok(AllocationState::Rejected),
        Ok(allocation::State::Lost) => Ok(AllocationState::Lost),
        Ok(allocation::State::Unspecified) | Err(_) => {
            let problem = format!("{wire} is no state; give for example GRANTED or QUEUED");
            Err(FieldError::new(field, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_read_back() {
        for number in 1..=9 {
            let state = state_from_proto("states", number).unwrap();
            assert_eq!(state_to_proto(state) as i32, number);
        }
        assert!(state_from_proto("states", 0).is_err());
        assert!(state_from_proto("states", 77).is_err());
    }

    #[test]
    fn states_are_named_in_json_as_the_contract_names_them() {
        let wire = v1::Allocation {
            state: allocation::State::Granted.into(),
            fencing_token: 7,
            durability: allocation::Durability::Fsync.into(),
            ..v1::Allocation::default()
        };
        let json = serde_json::to_value(wire).unwrap();
        assert_eq!(json["state"], "GRANTED");
        assert_eq!(json["fencingToken"], "7");
        assert_eq!(json["durability"], "FSYNC");
        assert_eq!(json["warm"], false, "what is false is said too");
    }
}
