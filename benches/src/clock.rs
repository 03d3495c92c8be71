//! The only place of the harness that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds that `work` took.
#[expect(clippy::disallowed_methods, reason = "this is the harness's clock")]
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let since = Instant::now();
    work();
    since.elapsed().as_secs_f64()
}

/// Seconds until `work` completes.
#[expect(clippy::disallowed_methods, reason = "this is the harness's clock")]
pub(crate) async fn seconds_async<T>(work: impl Future<Output = T>) -> (f64, T) {
    let since = Instant::now();
    let outcome = work.await;
    (since.elapsed().as_secs_f64(), outcome)
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the harness's clock")]
pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| elapsed.as_millis() as i64)
}

/// Time since a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch(Instant);

impl Watch {
    /// From now on.
    #[expect(clippy::disallowed_methods, reason = "this is the harness's clock")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
