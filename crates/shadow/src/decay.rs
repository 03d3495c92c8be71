//! Sums that forget exponentially with time.

use std::time::Duration;

use foreshadow_types::Timestamp;

/// A weighted mean and variance whose weights halve in a fixed time.
///
/// Each sample enters with weight one and fades by `exp(-age / τ)`. Samples may come out of order:
/// a late one enters with the weight that its age has left it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DecayedMoments {
    weight: f64,
    mean: f64,
    /// Σ w·(x − mean)², updated by Welford's method.
    squares: f64,
    /// The time up to which the weights have faded.
    at: Option<Timestamp>,
}

impl DecayedMoments {
    /// Takes a sample, with `tau` the time in which a weight falls to 1/e.
    pub(crate) fn add(&mut self, at: Timestamp, value: f64, tau: Duration) {
        let weight = self.fade_to(at, tau);
        self.weight += weight;
        let step = value - self.mean;
        self.mean += step * weight / self.weight;
        self.squares += weight * step * (value - self.mean);
    }

    /// Fades the past to `at` and gives the weight of a sample of that time.
    fn fade_to(&mut self, at: Timestamp, tau: Duration) -> f64 {
        let Some(latest) = self.at else {
            self.at = Some(at);
            return 1.0;
        };
        if at < latest {
            return fading(latest.since(at), tau);
        }
        let kept = fading(at.since(latest), tau);
        self.weight *= kept;
        self.squares *= kept;
        self.at = Some(at);
        1.0
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    pub(crate) fn deviation(&self) -> f64 {
        if self.weight > 0.0 {
            (self.squares / self.weight).max(0.0).sqrt()
        } else {
            0.0
        }
    }
}

/// What an age of `age` leaves of a weight. It stays above zero, so that means keep a divisor.
fn fading(age: Duration, tau: Duration) -> f64 {
    (-age.as_secs_f64() / tau.as_secs_f64()).exp().max(1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_constant_has_its_mean_and_no_deviation() {
        let mut moments = DecayedMoments::default();
        for minute in 0..500 {
            moments.add(Timestamp::from_millis(minute * 60_000), 7.5, HOUR);
        }
        assert!((moments.mean() - 7.5).abs() < 1e-9);
        assert!(moments.deviation() < 1e-6);
    }

    #[test]
    fn old_samples_fade() {
        let mut moments = DecayedMoments::default();
        moments.add(Timestamp::from_millis(0), 100.0, HOUR);
        moments.add(Timestamp::from_millis(10 * 3_600_000), 1.0, HOUR);
        assert!(moments.mean() < 1.1, "{}", moments.mean());
    }

    #[test]
    fn a_late_sample_counts_by_its_age() {
        let mut moments = DecayedMoments::default();
        moments.add(Timestamp::from_millis(10 * 3_600_000), 1.0, HOUR);
        moments.add(Timestamp::from_millis(0), 100.0, HOUR);
        assert!(moments.mean() < 1.1, "{}", moments.mean());
    }
}
