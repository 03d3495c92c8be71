//! Whether the owner goes on deciding: its loop beats, and whoever is asked for health looks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::Stopwatch;

/// How often the owner beats at the least, also when there is nothing to decide.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// For how long a commit, a snapshot or a compaction may hold up decisions before no more requests
/// should be sent here.
const READY: Duration = Duration::from_secs(15);
/// For how long before nothing but a new process will help. It is longer than anything that ends by itself: a
/// disk that does not answer, or a shared server, is waited for no longer than that.
const ALIVE: Duration = Duration::from_secs(90);

/// When the owner's loop last went round.
#[derive(Debug)]
pub(crate) struct Pulse {
    watch: Stopwatch,
    last_ms: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            watch: Stopwatch::start(),
            last_ms: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// The loop goes round.
    pub(crate) fn beat(&self) {
        self.last_ms.store(self.passed_ms(), Ordering::Relaxed);
    }

    /// For how long it has stood still.
    pub(crate) fn still(&self) -> Duration {
        let last = self.last_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.passed_ms().saturating_sub(last))
    }

    fn passed_ms(&self) -> u64 {
        u64::try_from(self.watch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Why no requests should be sent, if decisions have stood still for so long.
pub(crate) fn not_ready(still: Duration) -> Option<String> {
    let seconds = still.as_secs();
    (still > READY).then(|| format!("nothing has been decided for {seconds} s"))
}

/// Whether the process is of use still.
pub(crate) fn is_alive(still: Duration) -> bool {
    still <= ALIVE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_takes_no_requests_and_in_the_end_is_of_no_use() {
        let seconds = Duration::from_secs;
        assert_eq!(not_ready(BEAT * 2), None);
        assert_eq!(
            not_ready(seconds(20)).as_deref(),
            Some("nothing has been decided for 20 s")
        );
        assert!(is_alive(seconds(20)) && !is_alive(seconds(100)));
    }

    #[test]
    fn a_beat_begins_anew() {
        let pulse = Pulse::default();
        std::thread::sleep(Duration::from_millis(30));
        let before = pulse.still();
        assert!(before >= Duration::from_millis(29));
        std::thread::sleep(before);
        pulse.beat();
        assert!(pulse.still() < before * 2, "it counts from the beat on");
    }
}
