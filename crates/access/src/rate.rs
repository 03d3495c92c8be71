//! How often a caller may call.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use foreshadow_types::Timestamp;
use thiserror::Error;

/// Calls a second, and how many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRate {
    per_second: u32,
    burst: u32,
}

/// A rate that would let nothing pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`per_second` must be from 1 to 1000000 and `burst` at least 1")]
pub struct CallRateError;

/// The generic cell rate algorithm (ITU-T I.371): the time at which the calls so far would have ended
/// had they come evenly.
#[derive(Debug)]
pub struct Meter {
    interval: i64,
    allowance: i64,
    due: AtomicI64,
}

impl CallRate {
    /// A rate that is known when this is built; what makes no sense is the nearest that does.
    pub const fn constant(per_second: u32, burst: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        let burst = if burst == 0 { 1 } else { burst };
        Self { per_second, burst }
    }

    /// A rate.
    ///
    /// # Errors
    /// [`CallRateError`] if no call would pass or they would be closer than the clock can tell.
    pub fn new(per_second: u32, burst: u32) -> Result<Self, CallRateError> {
        let possible = (1..=1_000_000).contains(&per_second) && burst > 0;
        possible
            .then_some(Self { per_second, burst })
            .ok_or(CallRateError)
    }
}

impl Meter {
    /// Nothing has been called yet. Times are in microseconds.
    pub fn new(rate: CallRate) -> Self {
        let interval = 1_000_000 / i64::from(rate.per_second);
        Self {
            interval,
            allowance: interval.saturating_mul(i64::from(rate.burst) - 1),
            due: AtomicI64::new(i64::MIN),
        }
    }

    /// Whether all that was called is so long ago that a whole burst may come.
    pub fn is_rested(&self, now: Timestamp) -> bool {
        self.due.load(Ordering::Relaxed) <= now.as_millis().saturating_mul(1_000)
    }

    /// Counts a call.
    ///
    /// # Errors
    /// The delay after which it may come.
    pub fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_millis().saturating_mul(1_000);
        let counted = self
            .due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                // A clock that was set back far must not lock the caller out.
                let due = due.clamp(now, now.saturating_add(self.allowance + self.interval));
                (due - now <= self.allowance).then_some(due + self.interval)
            });
        counted.map(|_| ()).map_err(|due| {
            let early = due.saturating_sub(now).saturating_sub(self.allowance);
            Duration::from_micros(early.clamp(1, self.interval) as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let meter = Meter::new(CallRate::new(10, 3).unwrap());
        let passed = (0..5).filter(|_| meter.take(at(0)).is_ok()).count();
        assert_eq!(passed, 3);
        let delay = meter.take(at(40)).unwrap_err();
        assert_eq!(delay, Duration::from_millis(60));
        assert!(meter.take(at(100)).is_ok());
        assert!(meter.take(at(100)).is_err());
        let after_a_pause = (0..5).filter(|_| meter.take(at(60_000)).is_ok()).count();
        assert_eq!(after_a_pause, 3);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let meter = Meter::new(CallRate::new(10, 1).unwrap());
        assert!(meter.take(at(3_600_000)).is_ok());
        let delay = meter.take(at(0)).unwrap_err();
        assert!(delay <= Duration::from_millis(100), "{delay:?}");
    }

    #[test]
    fn a_rate_that_lets_nothing_pass_is_refused() {
        for (per_second, burst) in [(0, 1), (1, 0), (2_000_000, 1)] {
            assert_eq!(CallRate::new(per_second, burst), Err(CallRateError));
        }
    }
}
