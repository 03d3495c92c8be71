//! How long instances take to start.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

/// A fixed or log-normal start-up time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartupTime {
    typical: Duration,
    sigma: f64,
    seed: u64,
}

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
            seed,
        }
    }

    /// The median.
    pub fn typical(&self) -> Duration {
        self.typical
    }

    /// Whether every instance takes the same time.
    pub fn is_fixed(&self) -> bool {
        self.sigma == 0.0
    }

    /// A stream of start-up times.
    pub(crate) fn draws(&self) -> StartupDraws {
        StartupDraws {
            typical_ms: self.typical.as_millis() as f64,
            sigma: self.sigma,
            rng: Pcg32::seed_from_u64(self.seed),
        }
    }
}

/// Start-up times in the order in which instances are started.
#[derive(Debug, Clone)]
pub(crate) struct StartupDraws {
    typical_ms: f64,
    sigma: f64,
    rng: Pcg32,
}

/// The longest start-up time drawn: 30 days.
const LONGEST_MS: f64 = 30.0 * 86_400_000.0;

impl StartupDraws {
    /// The next start-up time in milliseconds.
    pub(crate) fn next_ms(&mut self) -> i64 {
        let factor = (self.sigma * self.standard_normal()).exp();
        (self.typical_ms * factor).round().min(LONGEST_MS) as i64
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
    fn one_seed_gives_one_stream() {
        let startup = StartupTime::log_normal(Duration::from_secs(1), 1.0, 7);
        let (mut one, mut two) = (startup.draws(), startup.draws());
        assert!((0..100).all(|_| one.next_ms() == two.next_ms()));
    }
}
