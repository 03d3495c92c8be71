//! The slope of a metric from two exponential averages of different memory.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::decay::DecayedMoments;

const SHORT: Duration = Duration::from_hours(1);
const LONG: Duration = Duration::from_hours(24);
/// Averages closer together than this say nothing of a slope.
const LEAST_SPAN_S: f64 = 60.0;

/// Tracks averages of value and of time over about an hour and about a day.
///
/// On a straight line the two points (mean time, mean value) lie on the line, so the slope between
/// them is exact from the first samples on, however irregular they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trend {
    /// All times are seconds after this.
    origin: Option<Timestamp>,
    short: [DecayedMoments; 2],
    long: [DecayedMoments; 2],
}

impl Trend {
    pub(crate) fn add(&mut self, at: Timestamp, value: f64) {
        let origin = *self.origin.get_or_insert(at);
        let seconds = (at.as_millis().saturating_sub(origin.as_millis())) as f64 / 1000.0;
        for (memory, tau) in [(&mut self.short, SHORT), (&mut self.long, LONG)] {
            memory[0].add(at, seconds, tau);
            memory[1].add(at, value, tau);
        }
    }

    /// The change of the value per hour; zero while the samples span less than a minute.
    pub(crate) fn per_hour(&self) -> f64 {
        let span_s = self.short[0].mean() - self.long[0].mean();
        if span_s.abs() < LEAST_SPAN_S {
            return 0.0;
        }
        (self.short[1].mean() - self.long[1].mean()) / span_s * 3600.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_exact() {
        let mut trend = Trend::default();
        for minute in 0..600_i64 {
            trend.add(
                Timestamp::from_millis(minute * 60_000),
                5.0 + 0.5 * minute as f64,
            );
        }
        assert!(
            (trend.per_hour() - 30.0).abs() < 1e-6,
            "{}",
            trend.per_hour()
        );
    }

    #[test]
    fn a_constant_and_a_single_sample_have_no_slope() {
        let mut trend = Trend::default();
        trend.add(Timestamp::from_millis(0), 5.0);
        assert_eq!(trend.per_hour(), 0.0);
        trend.add(Timestamp::from_millis(86_400_000), 5.0);
        assert!(trend.per_hour().abs() < 1e-9);
    }
}
