//! A request and what it holds or waits for.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use foreshadow_api::v1::{self, allocation};

use crate::time::{of_wire, span_of_wire};

/// Where an allocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Holds a ready instance.
    Granted,
    /// Holds an instance that is still starting.
    Joined,
    /// Waits for an instance.
    Queued,
    /// Promised for its availability time.
    Booked,
    /// Given back by its holder.
    Released,
    /// The lease ended without renewal, or a booking was not claimed.
    Expired,
    /// Taken back before it was granted.
    Cancelled,
    /// Nothing was free within its `max_wait`.
    Rejected,
    /// The instance failed while it was held.
    Lost,
}

impl State {
    /// Whether nothing will become of it any more.
    pub fn is_over(self) -> bool {
        match self {
            Self::Granted | Self::Joined | Self::Queued | Self::Booked => false,
            Self::Released | Self::Expired | Self::Cancelled | Self::Rejected | Self::Lost => true,
        }
    }

    pub(crate) fn of_wire(state: allocation::State) -> Option<Self> {
        Some(match state {
            allocation::State::Unspecified => return None,
            allocation::State::Granted => Self::Granted,
            allocation::State::Joined => Self::Joined,
            allocation::State::Queued => Self::Queued,
            allocation::State::Booked => Self::Booked,
            allocation::State::Released => Self::Released,
            allocation::State::Expired => Self::Expired,
            allocation::State::Cancelled => Self::Cancelled,
            allocation::State::Rejected => Self::Rejected,
            allocation::State::Lost => Self::Lost,
        })
    }

    pub(crate) fn to_wire(self) -> allocation::State {
        match self {
            Self::Granted => allocation::State::Granted,
            Self::Joined => allocation::State::Joined,
            Self::Queued => allocation::State::Queued,
            Self::Booked => allocation::State::Booked,
            Self::Released => allocation::State::Released,
            Self::Expired => allocation::State::Expired,
            Self::Cancelled => allocation::State::Cancelled,
            Self::Rejected => allocation::State::Rejected,
            Self::Lost => allocation::State::Lost,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_wire().as_str_name().to_lowercase())
    }
}

/// A request and what it holds or waits for, as the server last said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allocation {
    /// Such as `a-42`.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// The pool that serves it.
    pub pool: String,
    /// Who pays.
    pub tenant: String,
    /// Who asked, if that was said.
    pub user: Option<String>,
    /// What the instance runs, if that was said.
    pub application: Option<String>,
    /// Whether an instance was ready when the request came.
    pub warm: bool,
    /// Whether the instance is shared with an earlier request.
    pub merged: bool,
    /// The id of the instance, such as `i-42`, once there is one.
    pub instance: Option<String>,
    /// Where the instance answers, such as `127.0.0.1:41234`, once it is ready.
    pub address: Option<String>,
    /// Rises with every lease of an instance; 0 where nothing is held.
    pub fencing_token: u64,
    /// When the lease ends unless it is renewed, by the server's clock.
    pub lease_expires_at: Option<SystemTime>,
    /// 1 for the next in line, for a queued request.
    pub queue_position: Option<u32>,
    /// How long until an instance is expected to be ready, for a joined or queued request.
    pub estimated_wait: Option<Duration>,
    /// Whether it was on disk before the answer left.
    pub durable: bool,
    /// When it was asked for.
    pub requested_at: Option<SystemTime>,
    /// When it is needed.
    pub availability_time: Option<SystemTime>,
}

impl Allocation {
    /// None if its state is not one that this client knows.
    pub(crate) fn of_wire(wire: v1::Allocation) -> Option<Self> {
        let state = State::of_wire(wire.state())?;
        let durable = wire.durability() == allocation::Durability::Fsync;
        let time = |time: Option<_>| time.as_ref().and_then(of_wire);
        let instance = wire.instance.unwrap_or_default();
        Some(Self {
            id: wire.allocation_id,
            state,
            pool: wire.pool,
            tenant: wire.tenant_id,
            user: word(wire.user_id),
            application: word(wire.application_id),
            warm: wire.warm,
            merged: wire.merged,
            instance: word(instance.id),
            address: word(instance.address),
            fencing_token: wire.fencing_token,
            lease_expires_at: time(wire.lease_expires_at),
            queue_position: Some(wire.queue_position).filter(|position| *position > 0),
            estimated_wait: wire.estimated_wait.as_ref().and_then(span_of_wire),
            durable,
            requested_at: time(wire.requested_at),
            availability_time: time(wire.availability_time),
        })
    }
}

fn word(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_the_wire_reads_back() {
        for number in 1..=9 {
            let wire = allocation::State::try_from(number).unwrap();
            assert_eq!(State::of_wire(wire).unwrap().to_wire(), wire);
        }
        assert_eq!(State::of_wire(allocation::State::Unspecified), None);
        assert_eq!(State::Rejected.to_string(), "rejected");
    }

    #[test]
    fn what_is_not_said_is_none() {
        let wire = v1::Allocation {
            state: allocation::State::Queued.into(),
            ..v1::Allocation::default()
        };
        let queued = Allocation::of_wire(wire).unwrap();
        assert_eq!(
            (queued.user, queued.instance, queued.address),
            (None, None, None)
        );
        assert_eq!(
            (queued.queue_position, queued.lease_expires_at),
            (None, None)
        );
        assert!(!queued.durable);
    }
}
