//! Waiting for what must come.

#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for real processes, and not for ever"
)]

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How long it is waited before it is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks again until there is an answer.
///
/// # Panics
/// If there is none for as long as [`PATIENCE`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(since.elapsed() < PATIENCE, "{what} did not come");
        thread::sleep(PAUSE);
    }
}

/// The same, where it is asked in a runtime.
///
/// # Panics
/// As [`until`].
pub async fn until_async<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(since.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(PAUSE).await;
    }
}
