//! The one place where this crate reads the clock.

use std::time::SystemTime;

use foreshadow_types::Timestamp;

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "the transports are a shell and stamp what comes in"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_millis(since_epoch.map_or(0, |since| since.as_millis() as i64))
}
