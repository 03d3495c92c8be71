//! How long instances take to start.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

/// A fixed or log-normal start-up time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartupTime {
    typical: Duration,
    sigma: f64,
    failures: f64,
    seed: u64,
}

/// The largest share of starts that may fail.
pub const MOST_FAILURES: f64 = 0.95;

impl StartupTime {
    /// Every instance takes the same time.
    pub fn fixed(typical: Duration) -> Self {
        Self::log_normal(typical, 0.0, 0)
    }

    /// The time has median `typical`, and its logarithm the standard deviation `sigma`; the n-th
    /// start of a pool draws the same time in every run with one seed.
    pub fn log_normal(typical: Duration, sigma: f64, seed: u64) -> Self {
        Self {
            typical,
            sigma,
            failures: 0.0,
            seed,
        }
    }

    /// This share of the starts, [`MOST_FAILURES`] at most, fails after its time and is tried again;
    /// the n-th instance of a pool has the same fate in every run with one seed.
    #[must_use]
    pub fn failing(self, share: f64) -> Self {
        Self {
            failures: share.clamp(0.0, MOST_FAILURES),
            ..self
        }
    }

    /// The median.
    pub fn typical(&self) -> Duration {
        self.typical
    }

    /// Whether every start takes the same time.
    pub fn is_fixed(&self) -> bool {
        self.sigma == 0.0
    }

    /// Whether starts fail now and then.
    pub fn can_fail(&self) -> bool {
        self.failures > 0.0
    }

    /// A stream of start-up times.
    pub(crate) fn draws(&self) -> StartupDraws {
        StartupDraws {
            typical_ms: self.typical.as_millis() as f64,
            sigma: self.sigma,
            failures: self.failures,
            rng: Pcg32::seed_from_u64(self.seed),
            fates: Pcg32::seed_from_u64(self.seed ^ FATES),
        }
    }
}

/// Start-up times in the order in which instances are started.
#[derive(Debug, Clone)]
pub(crate) struct StartupDraws {
    typical_ms: f64,
    sigma: f64,
    failures: f64,
    rng: Pcg32,
    /// Whether starts fail: a stream of its own, so that times do not depend on the share.
    fates: Pcg32,
}

/// How an instance comes to be ready: at once, or after attempts that fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Birth {
    /// When its first start is asked for.
    pub(crate) asked_ms: i64,
    /// When each failed attempt ends and the next begins, in milliseconds, ascending.
    pub(crate) failures: Vec<i64>,
    /// When it is ready.
    pub(crate) ready_ms: i64,
}

impl Birth {
    /// How long its last attempt takes, which is the one that succeeds.
    pub(crate) fn took(&self) -> Duration {
        let asked_ms = self.failures.last().map_or(self.asked_ms, |&last| last);
        Duration::from_millis((self.ready_ms - asked_ms).max(0) as u64)
    }
}

/// Sets the stream of fates apart from that of times.
const FATES: u64 = 0xfa7e;

/// The most attempts that fail before one does not, whatever is drawn.
const LONGEST_RUN: usize = 1_000;

/// The longest start-up time drawn: 30 days.
const LONGEST_MS: f64 = 30.0 * 86_400_000.0;

impl StartupDraws {
    /// The next start-up time in milliseconds.
    pub(crate) fn next_ms(&mut self) -> i64 {
        let factor = (self.sigma * self.standard_normal()).exp();
        (self.typical_ms * factor).round().min(LONGEST_MS) as i64
    }

    /// The next instance, whose start is asked for at `asked_ms`.
    pub(crate) fn birth(&mut self, asked_ms: i64) -> Birth {
        let mut failures = Vec::new();
        let mut ready_ms = asked_ms + self.next_ms();
        while failures.len() < LONGEST_RUN && self.fails() {
            // What fails takes some time, however short a start is.
            let failed_ms = ready_ms.max(failures.last().map_or(asked_ms, |&last| last) + 1);
            failures.push(failed_ms);
            ready_ms = failed_ms + self.next_ms();
        }
        Birth {
            asked_ms,
            failures,
            ready_ms,
        }
    }

    fn fails(&mut self) -> bool {
        self.failures > 0.0 && self.fates.random::<f64>() < self.failures
    }

    /// Box and Muller's transform of two uniform numbers.
    fn standard_normal(&mut self) -> f64 {
        let radius: f64 = 1.0 - self.rng.random::<f64>();
        let angle: f64 = self.rng.random();
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_normal_times_have_the_median_and_spread_asked_for() {
        let mut draws = StartupTime::log_normal(Duration::from_secs(100), 0.5, 1).draws();
        let mut logs: Vec<f64> = (0..4001).map(|_| (draws.next_ms() as f64).ln()).collect();
        logs.sort_by(f64::total_cmp);
        assert!((logs[2000] - 100_000_f64.ln()).abs() < 0.05);
        let mean = logs.iter().sum::<f64>() / 4001.0;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / 4001.0;
        assert!((variance.sqrt() - 0.5).abs() < 0.03);
    }

    #[test]
    fn the_share_asked_for_fails_and_each_attempt_takes_its_time() {
        let startup = StartupTime::fixed(Duration::from_secs(10)).failing(0.25);
        let mut draws = startup.draws();
        let births: Vec<Birth> = (0..4_000).map(|_| draws.birth(7)).collect();
        let failures: usize = births.iter().map(|one| one.failures.len()).sum();
        // A quarter of all attempts, so a third of the successes.
        assert!((failures as f64 / 4_000.0 - 1.0 / 3.0).abs() < 0.03);
        for birth in births {
            let attempts = birth.failures.len() as i64 + 1;
            assert_eq!(birth.ready_ms, 7 + attempts * 10_000);
        }
    }

    #[test]
    fn one_seed_gives_one_stream() {
        let startup = StartupTime::log_normal(Duration::from_secs(1), 1.0, 7);
        let (mut one, mut two) = (startup.draws(), startup.draws());
        assert!((0..100).all(|_| one.next_ms() == two.next_ms()));
    }
}
