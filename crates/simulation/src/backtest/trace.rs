//! A request log, kept as compact columns for each pool.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_planner::Arrival;
use foreshadow_types::{PoolName, Timestamp};
use thiserror::Error;

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
}

/// The requests of one pool in order of time.
#[derive(Debug, Clone)]
pub struct PoolTrace {
    name: PoolName,
    at_ms: Vec<i64>,
    users: Column<u64>,
    applications: Column<u64>,
    holds_ms: Column<u32>,
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
    fn push(&mut self, arrival: &Arrival) {
        let index = self.at_ms.len();
        self.at_ms.push(arrival.at.as_millis());
        self.users.push(index, arrival.user);
        self.applications.push(index, arrival.application);
        let hold_ms = arrival.hold.map_or(NO_HOLD, |hold| {
            u32::try_from(hold.as_millis()).map_or(NO_HOLD - 1, |ms| ms.min(NO_HOLD - 1))
        });
        self.holds_ms.push(index, hold_ms);
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
}

/// Collects a request log in order of time.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    pools: BTreeMap<PoolName, PoolTrace>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    requests: u64,
}

impl TraceBuilder {
    /// Starts with no requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next request.
    ///
    /// # Errors
    /// [`TraceError`] if it is earlier than the one before it or names one pool too many.
    pub fn push(&mut self, pool: &PoolName, arrival: &Arrival) -> Result<(), TraceError> {
        if let Some(before) = self.last.filter(|&before| arrival.at < before) {
            return Err(TraceError::Unsorted {
                row: self.requests,
                at: arrival.at,
                before,
            });
        }
        if let Some(trace) = self.pools.get_mut(pool) {
            trace.push(arrival);
        } else {
            if self.pools.len() == MAX_POOLS {
                return Err(TraceError::TooManyPools);
            }
            let mut trace = PoolTrace::new(pool.clone());
            trace.push(arrival);
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
    /// [`TraceError::Empty`] if nothing was added.
    pub fn build(self) -> Result<Trace, TraceError> {
        let (Some(start), Some(end)) = (self.first, self.last) else {
            return Err(TraceError::Empty);
        };
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
        pool.push(&arrival(1, None));
        assert!(pool.holds_ms.values.is_empty());
        pool.push(&arrival(2, Some(7)));
        assert_eq!(pool.arrival(0).hold, None);
        assert_eq!(pool.arrival(1).hold, Some(Duration::from_millis(7)));
        assert!(!pool.holds_are_known());
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
