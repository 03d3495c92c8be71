//! A request log, kept as compact columns for each pool.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use foreshadow_planner::Arrival;
use foreshadow_types::{PoolName, Timestamp};
use thiserror::Error;

use super::{
    fleet::Claim,
    sharing::{Guest, NO_KEY, Sharing},
};

/// The most pools one backtest sizes.
const MAX_POOLS: usize = 10_000;

/// Marks a request without a hold time in the column of hold times.
const NO_HOLD: u32 = u32::MAX;

/// Why a request log was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TraceError {
    /// A request is earlier than the one before it.
    #[error("request {row} at {at} is earlier than the one before it at {before}; sort by time")]
    Unsorted {
        /// Which request, counted from zero over all files.
        row: u64,
        /// Its time.
        at: Timestamp,
        /// The time of the one before it.
        before: Timestamp,
    },
    /// There are more pools than a backtest sizes.
    #[error("the requests name more than {MAX_POOLS} pools; backtest fewer at a time")]
    TooManyPools,
    /// There is no request.
    #[error("there are no requests to replay")]
    Empty,
    /// Requests are to share instances, but nobody knows when they leave.
    #[error(
        "requests of pool `{0}` do not say how long they hold, so nobody knows when an instance has \
         room; give `hold_ms` for each, or let one request at a time use an instance"
    )]
    HoldUnknown(PoolName),
}

/// The requests of one pool in order of time.
#[derive(Debug, Clone)]
pub struct PoolTrace {
    name: PoolName,
    at_ms: Vec<i64>,
    users: Column<u64>,
    applications: Column<u64>,
    holds_ms: Column<u32>,
    merge_keys: Column<u64>,
    shared: Option<Shared>,
}

/// What sharing makes of the requests of a pool.
#[derive(Debug, Clone)]
struct Shared {
    /// At most so many requests share an instance by room.
    most: NonZeroU32,
    /// Whether each request shares an instance that others hold, if all are served at once.
    merged: Vec<bool>,
    /// The times of the others.
    demand_ms: Vec<i64>,
}

/// A column that takes no memory while every value is the default.
#[derive(Debug, Clone)]
struct Column<T> {
    default: T,
    values: Vec<T>,
}

impl<T: Copy + PartialEq> Column<T> {
    fn new(default: T) -> Self {
        Self {
            default,
            values: Vec::new(),
        }
    }

    fn push(&mut self, index: usize, value: T) {
        if value != self.default || !self.values.is_empty() {
            self.values.resize(index, self.default);
            self.values.push(value);
        }
    }

    fn get(&self, index: usize) -> T {
        self.values.get(index).copied().unwrap_or(self.default)
    }
}

impl PoolTrace {
    /// A pool without requests.
    pub fn new(name: PoolName) -> Self {
        Self {
            name,
            at_ms: Vec::new(),
            users: Column::new(0),
            applications: Column::new(0),
            holds_ms: Column::new(NO_HOLD),
            merge_keys: Column::new(NO_KEY),
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

    /// The times of the requests, in milliseconds since the epoch, ascending.
    pub fn times_ms(&self) -> &[i64] {
        &self.at_ms
    }

    /// The times of the requests that take an instance: all, but for those that share one which others
    /// hold, if everybody is served at once.
    pub fn demand_ms(&self) -> &[i64] {
        self.shared
            .as_ref()
            .map_or(&self.at_ms, |shared| &shared.demand_ms)
    }

    /// The times of [`demand_ms`](Self::demand_ms) up to request `index`.
    pub(crate) fn demand_until(&self, index: usize) -> &[i64] {
        let Some(shared) = &self.shared else {
            return &self.at_ms[..=index];
        };
        let before = |&at: &i64| at < self.at_ms[index];
        let earlier = shared.demand_ms.partition_point(before);
        let same_moment = &shared.merged[self.at_ms.partition_point(before)..=index];
        let now = same_moment.iter().filter(|&&merged| !merged).count();
        &shared.demand_ms[..earlier + now]
    }

    /// Whether requests share instances.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether request `index` is none of [`demand_ms`](Self::demand_ms).
    #[inline]
    pub(crate) fn is_merged(&self, index: usize) -> bool {
        self.shared
            .as_ref()
            .is_some_and(|shared| shared.merged[index])
    }

    /// Who shares instances with whom in one replay; nothing where nobody does.
    pub(crate) fn sharing(&self) -> Option<Sharing> {
        self.shared.as_ref().map(|shared| Sharing::new(shared.most))
    }

    /// Request `index` as far as sharing goes.
    pub(crate) fn guest(&self, index: usize) -> Guest {
        Guest {
            at_ms: self.at_ms[index],
            hold_ms: self.hold_ms(index),
            key: self.merge_keys.get(index),
        }
    }

    /// Whether each request says how long it holds its instance.
    pub fn holds_are_known(&self) -> bool {
        self.holds_ms.values.len() == self.len() && !self.holds_ms.values.contains(&NO_HOLD)
    }

    /// How long request `index` holds its instance, in milliseconds; 0 where nothing is known of it.
    #[inline]
    pub(crate) fn hold_ms(&self, index: usize) -> i64 {
        match self.holds_ms.get(index) {
            NO_HOLD => 0,
            hold_ms => i64::from(hold_ms),
        }
    }

    /// Request `index`.
    ///
    /// # Panics
    /// If there is no such request.
    #[inline]
    pub fn arrival(&self, index: usize) -> Arrival {
        let hold_ms = self.holds_ms.get(index);
        Arrival {
            at: Timestamp::from_millis(self.at_ms[index]),
            user: self.users.get(index),
            application: self.applications.get(index),
            hold: (hold_ms != NO_HOLD).then(|| Duration::from_millis(u64::from(hold_ms))),
        }
    }

    /// Adds a request, which is not earlier than the last one.
    fn push(&mut self, arrival: &Arrival, merge_key: u64) {
        let index = self.at_ms.len();
        self.at_ms.push(arrival.at.as_millis());
        self.users.push(index, arrival.user);
        self.applications.push(index, arrival.application);
        let hold_ms = arrival.hold.map_or(NO_HOLD, |hold| {
            u32::try_from(hold.as_millis()).map_or(NO_HOLD - 1, |ms| ms.min(NO_HOLD - 1))
        });
        self.holds_ms.push(index, hold_ms);
        self.merge_keys.push(index, merge_key);
    }

    /// Finds out which requests share instances when at most so many may share one by room.
    fn share(&mut self, most: NonZeroU32) -> Result<(), TraceError> {
        if most == NonZeroU32::MIN && self.merge_keys.values.is_empty() {
            return Ok(());
        }
        if most > NonZeroU32::MIN && !self.holds_are_known() {
            return Err(TraceError::HoldUnknown(self.name.clone()));
        }
        let mut sharing = Sharing::new(most);
        let mut serve_at_once = |index| {
            let guest = self.guest(index);
            let merged = sharing.serve(&guest, || true).is_some();
            if !merged {
                sharing.take(&guest, &Claim::of_instance(guest.at_ms, guest.at_ms));
            }
            merged
        };
        let merged: Vec<bool> = (0..self.len()).map(&mut serve_at_once).collect();
        let demand = self.at_ms.iter().zip(&merged);
        let demand = demand.filter(|&(_, &merged)| !merged);
        self.shared = Some(Shared {
            most,
            demand_ms: demand.map(|(&at_ms, _)| at_ms).collect(),
            merged,
        });
        Ok(())
    }
}

/// A request log over one or more pools.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Timestamp,
    end: Timestamp,
    requests: u64,
    pools: Vec<PoolTrace>,
}

impl Trace {
    /// The time of the first request.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// The time of the last request.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// How many requests there are.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The pools in order of name.
    pub fn pools(&self) -> &[PoolTrace] {
        &self.pools
    }

    /// Whether requests of some pool share instances.
    pub fn is_shared(&self) -> bool {
        self.pools.iter().any(PoolTrace::is_shared)
    }
}

/// Collects a request log in order of time.
#[derive(Debug)]
pub struct TraceBuilder {
    pools: BTreeMap<PoolName, PoolTrace>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    requests: u64,
    share: NonZeroU32,
}

impl Default for TraceBuilder {
    fn default() -> Self {
        Self {
            pools: BTreeMap::new(),
            first: None,
            last: None,
            requests: 0,
            share: NonZeroU32::MIN,
        }
    }
}

impl TraceBuilder {
    /// Starts with no requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets at most so many requests use an instance at a time; one unless told otherwise.
    #[must_use]
    pub fn with_share(self, most: NonZeroU32) -> Self {
        Self {
            share: most,
            ..self
        }
    }

    /// Adds the next request, which shares its instance with nobody by key.
    ///
    /// # Errors
    /// [`TraceError`] if it is earlier than the one before it or names one pool too many.
    pub fn push(&mut self, pool: &PoolName, arrival: &Arrival) -> Result<(), TraceError> {
        self.push_keyed(pool, arrival, NO_KEY)
    }

    /// Adds the next request; all of one pool with the same merge key, hashed, share an instance while
    /// one of them holds it. A key of 0 is none.
    ///
    /// # Errors
    /// [`TraceError`] if it is earlier than the one before it or names one pool too many.
    pub fn push_keyed(
        &mut self,
        pool: &PoolName,
        arrival: &Arrival,
        merge_key: u64,
    ) -> Result<(), TraceError> {
        if let Some(before) = self.last.filter(|&before| arrival.at < before) {
            return Err(TraceError::Unsorted {
                row: self.requests,
                at: arrival.at,
                before,
            });
        }
        if let Some(trace) = self.pools.get_mut(pool) {
            trace.push(arrival, merge_key);
        } else {
            if self.pools.len() == MAX_POOLS {
                return Err(TraceError::TooManyPools);
            }
            let mut trace = PoolTrace::new(pool.clone());
            trace.push(arrival, merge_key);
            self.pools.insert(pool.clone(), trace);
        }
        self.first = self.first.or(Some(arrival.at));
        self.last = Some(arrival.at);
        self.requests += 1;
        Ok(())
    }

    /// The finished log.
    ///
    /// # Errors
    /// [`TraceError::Empty`] if nothing was added, [`TraceError::HoldUnknown`] if instances have room
    /// for several requests of which one does not say how long it holds.
    pub fn build(mut self) -> Result<Trace, TraceError> {
        let (Some(start), Some(end)) = (self.first, self.last) else {
            return Err(TraceError::Empty);
        };
        for pool in self.pools.values_mut() {
            pool.share(self.share)?;
        }
        Ok(Trace {
            start,
            end,
            requests: self.requests,
            pools: self.pools.into_values().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(ms: i64, hold: Option<u64>) -> Arrival {
        Arrival {
            at: Timestamp::from_millis(ms),
            user: 0,
            application: 0,
            hold: hold.map(Duration::from_millis),
        }
    }

    #[test]
    fn columns_that_hold_nothing_take_no_memory_and_read_as_absent() {
        let mut pool = PoolTrace::new(PoolName::new("a").unwrap());
        pool.push(&arrival(1, None), NO_KEY);
        assert!(pool.holds_ms.values.is_empty());
        pool.push(&arrival(2, Some(7)), NO_KEY);
        assert_eq!(pool.arrival(0).hold, None);
        assert_eq!(pool.arrival(1).hold, Some(Duration::from_millis(7)));
        assert!(!pool.holds_are_known());
    }

    #[test]
    fn demand_is_what_takes_an_instance() {
        let name = PoolName::new("a").unwrap();
        let build = |share, requests: &[(i64, Option<u64>, u64)]| {
            let mut builder = TraceBuilder::new().with_share(NonZeroU32::new(share).unwrap());
            for &(at_ms, hold, key) in requests {
                builder
                    .push_keyed(&name, &arrival(at_ms, hold), key)
                    .unwrap();
            }
            builder.build()
        };
        let held = [
            (0, Some(10), 0),
            (4, Some(10), 0),
            (9, Some(10), 0),
            (14, Some(1), 0),
        ];
        let demand = |trace: &Trace| trace.pools()[0].demand_ms().to_vec();
        let alone = build(1, &held).unwrap();
        assert!(!alone.is_shared());
        assert_eq!(demand(&alone), [0, 4, 9, 14]);
        assert_eq!(demand(&build(2, &held).unwrap()), [0, 9]);
        let keyed = build(
            1,
            &[
                (0, Some(9), 7),
                (5, None, 7),
                (8, Some(2), 7),
                (10, None, 7),
            ],
        );
        let keyed = keyed.unwrap();
        assert_eq!(demand(&keyed), [0, 10]);
        assert_eq!(keyed.pools()[0].demand_until(2), [0]);
        let unknown = build(2, &[(0, Some(9), 0), (1, None, 0)]).unwrap_err();
        assert_eq!(unknown, TraceError::HoldUnknown(name.clone()));
    }

    #[test]
    fn a_log_out_of_order_is_refused_by_row() {
        let name = PoolName::new("a").unwrap();
        let mut builder = TraceBuilder::new();
        builder.push(&name, &arrival(5, None)).unwrap();
        let error = builder.push(&name, &arrival(4, None)).unwrap_err();
        assert!(matches!(error, TraceError::Unsorted { row: 1, .. }));
        assert_eq!(TraceBuilder::new().build().unwrap_err(), TraceError::Empty);
    }
}
