//! A request log, kept as compact columns for each pool.

mod holds;
mod in_use;
mod names;
mod pool;
mod shared;
mod times;

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

use foreshadow_planner::Arrival;
use foreshadow_types::{PoolName, Timestamp};
use thiserror::Error;

pub use pool::PoolTrace;
pub use times::{Times, Walk};

/// The most pools one backtest sizes.
const MAX_POOLS: usize = 10_000;

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
        self.push_keyed(pool, arrival, None)
    }

    /// Adds the next request; all of one pool with the same merge key, hashed, share an instance while
    /// one of them holds it.
    ///
    /// # Errors
    /// [`TraceError`] if it is earlier than the one before it or names one pool too many.
    pub fn push_keyed(
        &mut self,
        pool: &PoolName,
        arrival: &Arrival,
        merge_key: Option<NonZeroU64>,
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
            pool.end(self.share)?;
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
    use std::time::Duration;

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
    fn a_hold_that_is_not_known_is_absent() {
        let name = PoolName::new("a").unwrap();
        let mut builder = TraceBuilder::new();
        builder.push(&name, &arrival(1, None)).unwrap();
        builder.push(&name, &arrival(2, Some(7))).unwrap();
        let trace = builder.build().unwrap();
        let pool = &trace.pools()[0];
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
                    .push_keyed(&name, &arrival(at_ms, hold), NonZeroU64::new(key))
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
        let demand = |trace: &Trace| -> Vec<i64> { trace.pools()[0].demand_ms().walk().collect() };
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
        assert!([1, 2].map(|index| keyed.pools()[0].is_merged(index)) == [true, true]);
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
