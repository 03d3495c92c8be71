//! Demand that is known rather than forecast: bookings, pre-allocations and overrides.

use std::fmt;

use foreshadow_types::{PoolName, Timestamp};

/// Requests booked for a future moment.
///
/// Booked requests are not shown to the planner when they come, so that they never enter the learnt
/// demand and are not counted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booking {
    /// When the instances are needed.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
}

/// Instances that a trigger rule wants warm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreAllocation {
    /// The rule's name.
    pub rule: String,
    /// The pool.
    pub pool: PoolName,
    /// How many instances.
    pub count: u32,
    /// When the wish lapses unless the rule fires again.
    pub until: Timestamp,
    /// The forecast that fired the rule, in words.
    pub cause: String,
}

/// Instances that are wanted warm whatever is forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// How many at least.
    pub count: u32,
    /// Why.
    pub cause: FloorCause,
}

/// Why a pool has a floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloorCause {
    /// A schedule's window.
    Schedule {
        /// The schedule's name.
        name: String,
        /// When the window ends.
        until: Timestamp,
    },
    /// Requests of another pool, which are declared to be followed by some of this one.
    Follows {
        /// The other pool.
        pool: PoolName,
        /// How many of its requests will be followed within the lead time.
        requests: u32,
    },
}

impl fmt::Display for FloorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedule { name, until } => write!(f, "schedule `{name}` until {until}"),
            Self::Follows { pool, requests } => {
                write!(
                    f,
                    "{requests} requests of `{pool}` are about to be followed"
                )
            }
        }
    }
}

/// An administrator's fixed allocation for one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The pool.
    pub pool: PoolName,
    /// The target while it is in force.
    pub count: u32,
    /// When it ends; never if absent.
    pub until: Option<Timestamp>,
    /// Who set it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Override {
    /// Whether it is in force at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All that is known about one pool's coming demand at a tick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownDemand {
    /// Bookings still to come, in any order.
    pub bookings: Vec<Booking>,
    /// What trigger rules want warm.
    pub preallocations: Vec<PreAllocation>,
    /// What schedules and other pools want warm at least; the highest counts.
    pub floors: Vec<Floor>,
    /// The override in force, if any; it replaces everything but the bounds.
    pub fixed: Option<Override>,
}

impl KnownDemand {
    /// Booked instances needed before `until`.
    pub fn booked_before(&self, until: Timestamp) -> u32 {
        self.bookings
            .iter()
            .filter(|booking| booking.at < until)
            .fold(0, |sum, booking| sum.saturating_add(booking.count))
    }
}
