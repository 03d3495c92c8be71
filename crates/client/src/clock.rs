//! The one place where this crate reads the clocks.

use std::time::SystemTime;

use tokio::time::Instant;

/// The time that only goes forward: what deadlines are measured with.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day on this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the client is a shell and reads the clock here"
)]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
