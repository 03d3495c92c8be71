//! The requests of one pool as compact columns.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use foreshadow_planner::Arrival;
use foreshadow_types::{PoolName, Timestamp};

use super::{Times, TraceError, holds::Holds, names::Names, shared::Shared};
use crate::backtest::sharing::{Guest, Sharing};

/// The requests of one pool in order of time.
#[derive(Debug, Clone)]
pub struct PoolTrace {
    name: PoolName,
    at_ms: Times,
    users: Names,
    applications: Names,
    holds: Holds,
    merge_keys: Names,
    shared: Option<Shared>,
}

impl PoolTrace {
    /// A pool without requests.
    pub fn new(name: PoolName) -> Self {
        Self {
            name,
            at_ms: Times::default(),
            users: Names::default(),
            applications: Names::default(),
            holds: Holds::default(),
            merge_keys: Names::default(),
            shared: None,
        }
    }

    /// The pool's name.
    pub fn name(&self) -> &PoolName {
        &self.name
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.at_ms.len()
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.at_ms.is_empty()
    }

    /// The times of the requests.
    pub fn times_ms(&self) -> &Times {
        &self.at_ms
    }

    /// The times of the requests that take an instance: all, but for those that share one which others
    /// hold, if everybody is served at once.
    pub fn demand_ms(&self) -> &Times {
        self.shared.as_ref().map_or(&self.at_ms, Shared::demand_ms)
    }

    /// Whether requests share instances.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// At most so many requests share an instance by room.
    pub fn share(&self) -> NonZeroU32 {
        self.shared.as_ref().map_or(NonZeroU32::MIN, Shared::most)
    }

    /// Whether request `index` is none of [`demand_ms`](Self::demand_ms).
    #[inline]
    pub(crate) fn is_merged(&self, index: usize) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.is_merged(index))
    }

    /// Who shares instances with whom in one replay; nothing where nobody does.
    pub(crate) fn sharing(&self) -> Option<Sharing> {
        self.shared.as_ref().map(Shared::sharing)
    }

    /// Request `index` as far as sharing goes.
    pub(crate) fn guest(&self, index: usize) -> Guest {
        Guest {
            at_ms: self.at_ms.at(index),
            hold_ms: self.hold_ms(index),
            key: NonZeroU64::new(self.merge_keys.get(index)),
        }
    }

    /// Whether each request says how long it holds its instance.
    pub fn holds_are_known(&self) -> bool {
        self.holds.are_known(self.len())
    }

    /// How long request `index` holds its instance, in milliseconds; 0 where nothing is known of it.
    #[inline]
    pub(crate) fn hold_ms(&self, index: usize) -> i64 {
        self.holds.get(index).map_or(0, i64::from)
    }

    /// Request `index`.
    ///
    /// # Panics
    /// If there is no such request.
    #[inline]
    pub fn arrival(&self, index: usize) -> Arrival {
        self.arrival_at(index, self.at_ms.at(index))
    }

    /// Request `index`, whose time is known.
    #[inline]
    pub(crate) fn arrival_at(&self, index: usize, at_ms: i64) -> Arrival {
        let hold_ms = self.holds.get(index);
        Arrival {
            at: Timestamp::from_millis(at_ms),
            user: self.users.get(index),
            application: self.applications.get(index),
            hold: hold_ms.map(|millis| Duration::from_millis(u64::from(millis))),
        }
    }

    /// Adds a request, which is not earlier than the last one.
    pub(super) fn push(&mut self, arrival: &Arrival, merge_key: Option<NonZeroU64>) {
        let index = self.at_ms.len();
        self.at_ms.push(arrival.at.as_millis());
        self.users.push(index, arrival.user);
        self.applications.push(index, arrival.application);
        self.holds.push(index, arrival.hold);
        self.merge_keys
            .push(index, merge_key.map_or(0, NonZeroU64::get));
    }

    /// No request follows. Finds out which of them share instances when at most so many may share one by
    /// room.
    pub(super) fn end(&mut self, most: NonZeroU32) -> Result<(), TraceError> {
        for names in [
            &mut self.users,
            &mut self.applications,
            &mut self.merge_keys,
        ] {
            names.end();
        }
        if most == NonZeroU32::MIN && self.merge_keys.is_empty() {
            return Ok(());
        }
        if most > NonZeroU32::MIN && !self.holds_are_known() {
            return Err(TraceError::HoldUnknown(self.name.clone()));
        }
        let guests = (0..self.len()).map(|index| self.guest(index));
        self.shared = Some(Shared::of(most, guests));
        Ok(())
    }
}
