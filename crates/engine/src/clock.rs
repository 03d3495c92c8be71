//! The engine's clock: the one place of this crate where time is read.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foreshadow_types::Timestamp;

/// Wall time that never runs backwards. Where the system's clock is behind what was recorded, by an
/// earlier run or by a replica whose clock is ahead, it goes on from there at half speed until the
/// system's clock has caught up: what is waited for comes late then, but comes.
#[derive(Debug)]
pub(crate) struct Clock {
    begun: Instant,
    reckoning: Mutex<Reckoning>,
}

/// The latest moment that was told, and when by the clock that only measures.
#[derive(Debug, Default)]
struct Reckoning {
    latest: Duration,
    measured: Duration,
}

impl Reckoning {
    /// The moment, since 1970, when these are what both clocks say.
    fn at(&mut self, system: Duration, measured: Duration) -> Duration {
        let passed = measured.saturating_sub(self.measured);
        self.measured = self.measured.max(measured);
        self.latest = system.max(self.latest + passed / 2);
        self.latest
    }
}

impl Default for Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine is the shell; this is its clock"
    )]
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            reckoning: Mutex::default(),
        }
    }
}

impl Clock {
    /// The present moment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine is the shell; this is its clock"
    )]
    pub(crate) fn now(&self) -> Timestamp {
        let system = SystemTime::now().duration_since(UNIX_EPOCH);
        let measured = self.begun.elapsed();
        let now = self.reckoning().at(system.unwrap_or_default(), measured);
        Timestamp::from_millis(now.as_millis() as i64)
    }

    /// Never before a time that was recorded by an earlier run.
    pub(crate) fn not_before(&self, time: Timestamp) {
        let time = Duration::from_millis(time.as_millis().max(0) as u64);
        let mut reckoning = self.reckoning();
        reckoning.latest = reckoning.latest.max(time);
    }

    fn reckoning(&self) -> MutexGuard<'_, Reckoning> {
        self.reckoning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stopwatch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine is the shell; this is its clock"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_that_is_set_back_is_caught_up_with_at_half_speed() {
        let mut reckoning = Reckoning::default();
        assert_eq!(reckoning.at(seconds(1_000), seconds(1)), seconds(1_000));
        assert_eq!(reckoning.at(seconds(1_010), seconds(11)), seconds(1_010));
        // It is set back by 100 s.
        assert_eq!(reckoning.at(seconds(920), seconds(21)), seconds(1_015));
        assert_eq!(reckoning.at(seconds(1_000), seconds(101)), seconds(1_055));
        assert_eq!(reckoning.at(seconds(1_110), seconds(211)), seconds(1_110));
        assert_eq!(reckoning.at(seconds(1_120), seconds(221)), seconds(1_120));
    }

    #[test]
    fn time_goes_on_from_what_was_recorded() {
        let clock = Clock::default();
        let ahead = clock.now() + seconds(3_600);
        clock.not_before(ahead);
        let first = clock.now();
        assert!(first >= ahead);
        std::thread::sleep(Duration::from_millis(20));
        assert!(clock.now() > first, "it does not stand still");
    }
}
