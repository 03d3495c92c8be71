//! One user's batches: when they start, how large they are, when the next is due.
//!
//! Much machine-made demand comes in batches at steady intervals (a job every three hours, a build
//! every night). A batch starts with a request after a silence; the last intervals between starts
//! give a period and how well it is kept.

/// Silence, in ticks, after which a request starts a new batch.
const SILENCE_TICKS: i64 = 8;
/// How much of the usual size a new batch replaces.
const RENEWAL: f64 = 0.35;
/// A period is kept if its intervals differ by no more than this share of it.
const STEADY: i64 = 8;
/// Periods after which a batch that does not come is no longer awaited.
const MISSED: i64 = 3;

/// The batches of one user.
#[derive(Debug, Clone)]
pub(crate) struct Batches {
    start_ms: i64,
    last_ms: i64,
    /// Intervals between the last starts, the newest first; zero where there was none.
    intervals_ms: [i64; 3],
    size: f64,
    usual_size: f64,
    usual_length_ms: f64,
    seen: u32,
}

/// What one user's batches bring next.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Due {
    /// Requests expected within the time looked ahead from a batch that has not started.
    pub(crate) coming: f64,
    /// Requests still missing in the batch that runs.
    pub(crate) rest: f64,
}

impl Batches {
    pub(crate) fn new(at_ms: i64) -> Self {
        Self {
            start_ms: at_ms,
            last_ms: at_ms,
            intervals_ms: [0; 3],
            size: 0.0,
            usual_size: 0.0,
            usual_length_ms: 0.0,
            seen: 0,
        }
    }

    pub(crate) fn arrive(&mut self, at_ms: i64, tick_ms: i64) {
        if at_ms - self.last_ms > SILENCE_TICKS * tick_ms {
            self.close();
            let [newest, middle, _] = self.intervals_ms;
            self.intervals_ms = [at_ms - self.start_ms, newest, middle];
            self.start_ms = at_ms;
            self.size = 0.0;
        }
        self.last_ms = at_ms;
        self.size += 1.0;
    }

    fn close(&mut self) {
        self.seen = self.seen.saturating_add(1);
        let renewal = RENEWAL.max(1.0 / f64::from(self.seen));
        let length_ms = (self.last_ms - self.start_ms) as f64;
        self.usual_size += renewal * (self.size - self.usual_size);
        self.usual_length_ms += renewal * (length_ms - self.usual_length_ms);
    }

    /// What is due within `ahead_ms`.
    pub(crate) fn due(&self, now_ms: i64, ahead_ms: i64, tick_ms: i64) -> Due {
        let mut due = Due::default();
        let runs = now_ms - self.last_ms <= SILENCE_TICKS * tick_ms;
        if runs && self.seen >= 2 {
            due.rest = (self.usual_size - self.size).max(0.0);
        }
        let Some((period_ms, jitter_ms)) = self.period() else {
            return due;
        };
        let jitter_ms = jitter_ms.max(tick_ms / 2);
        let passed = (now_ms - jitter_ms - self.start_ms).max(0) / period_ms;
        if passed >= MISSED {
            return due;
        }
        let next_ms = self.start_ms + (passed + 1) * period_ms;
        let end_ms = now_ms + ahead_ms;
        if end_ms > next_ms - jitter_ms {
            let started = (end_ms - (next_ms - jitter_ms)) as f64 / (2 * jitter_ms) as f64;
            let length_ms = self.usual_length_ms.max(tick_ms as f64);
            let inside_ms = (end_ms - next_ms.max(now_ms)).max(tick_ms) as f64;
            due.coming = self.usual_size * started.min(1.0) * (inside_ms / length_ms).min(1.0);
        }
        due
    }

    /// The period between starts and how far the last intervals strayed from it.
    fn period(&self) -> Option<(i64, i64)> {
        let mut sorted = self.intervals_ms;
        sorted.sort_unstable();
        let [shortest, middle, longest] = sorted;
        let spread_ms = longest - shortest;
        (shortest > 0 && spread_ms * STEADY <= middle).then_some((middle, spread_ms))
    }

    /// The last request.
    pub(crate) fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// How long the user can be silent and still be awaited.
    pub(crate) fn awaited_ms(&self) -> i64 {
        self.period().map_or(0, |(period_ms, _)| MISSED * period_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_MS: i64 = 60_000;
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_batch_that_comes_every_three_hours_is_awaited() {
        let mut batches = Batches::new(0);
        for batch in 0..6 {
            for request in 0..100 {
                batches.arrive(batch * 3 * HOUR_MS + request * 1000, TICK_MS);
            }
        }
        let due = |now_ms| batches.due(now_ms, 3 * TICK_MS, TICK_MS).coming;
        assert_eq!(due(16 * HOUR_MS), 0.0, "too early");
        assert!(
            due(18 * HOUR_MS - TICK_MS) > 90.0,
            "two minutes of a batch of 100 s"
        );
        assert_eq!(due(18 * HOUR_MS + HOUR_MS), 0.0, "missed");
        assert_eq!(due(40 * HOUR_MS), 0.0, "given up");
    }

    #[test]
    fn a_running_batch_is_expected_to_reach_its_usual_size() {
        let mut batches = Batches::new(0);
        for batch in 0..5 {
            for request in 0..if batch == 4 { 30 } else { 100 } {
                batches.arrive(batch * 3 * HOUR_MS + request * 1000, TICK_MS);
            }
        }
        let due = batches.due(12 * HOUR_MS + TICK_MS, 3 * TICK_MS, TICK_MS);
        assert!((due.rest - 70.0).abs() < 1.0, "{due:?}");
    }
}
