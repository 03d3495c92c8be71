//! The only place of the harness that reads the clock.

use std::time::Instant;

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
