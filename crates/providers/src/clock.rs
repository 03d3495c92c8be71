//! The one place of this crate where time is read.

use std::time::Instant;

/// The time that durations are measured from.
#[expect(
    clippy::disallowed_methods,
    reason = "supervising processes is a shell around the operating system; this is its clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
