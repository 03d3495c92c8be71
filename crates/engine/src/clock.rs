//! The engine's clock: the one place of this crate where time is read.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foreshadow_types::Timestamp;

/// Wall time that never runs backwards: where the system's clock is set back, it stands still until
/// the clock has caught up.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    latest_ms: AtomicI64,
}

impl Clock {
    /// The present moment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine is the shell; this is its clock"
    )]
    pub(crate) fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since_epoch.map_or(0, |elapsed| elapsed.as_millis() as i64);
        let before = self.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        Timestamp::from_millis(before.max(now_ms))
    }

    /// Never before a time that was recorded by an earlier run.
    pub(crate) fn not_before(&self, time: Timestamp) {
        self.latest_ms
            .fetch_max(time.as_millis(), Ordering::Relaxed);
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
