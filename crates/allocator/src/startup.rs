//! How long a start takes, learned from the last starts of a pool.

use std::time::Duration;

use foreshadow_types::Timestamp;

/// How many starts are remembered.
const REMEMBERED: usize = 32;
/// The share of starts that are no slower than those a pool is planned for.
const SLOW: f64 = 0.9;
/// A start that has outlasted all remembered ones is expected to take this much longer again.
const OVERDUE_DIVISOR: u32 = 2;

/// The last start-up times of a pool.
#[derive(Debug, Clone, Default)]
pub struct Startups {
    sorted_ms: Vec<u32>,
}

impl Startups {
    /// Of start-up times in milliseconds, as [`remember`] keeps them.
    pub fn of(recent_ms: &[u32]) -> Self {
        let mut sorted_ms = recent_ms.to_vec();
        sorted_ms.sort_unstable();
        Self { sorted_ms }
    }

    /// The start-up time that a pool is planned for: nine in ten starts took no longer; the assumed time
    /// if none has been seen.
    pub fn slow(&self, assumed: Duration) -> Duration {
        self.quantile(SLOW, assumed)
    }

    /// The quantile of the last starts, or the assumed time if none has been seen.
    pub(crate) fn quantile(&self, quantile: f64, assumed: Duration) -> Duration {
        let Some(last) = self.sorted_ms.len().checked_sub(1) else {
            return assumed;
        };
        let index = (quantile * last as f64).ceil() as usize;
        Duration::from_millis(self.sorted_ms[index.min(last)].into())
    }

    /// How long a start that has taken `elapsed` will still take: the median of those remembered
    /// that took longer, less what has passed.
    pub(crate) fn remaining(&self, elapsed: Duration, assumed: Duration) -> Duration {
        let elapsed_ms = elapsed.as_millis().min(u32::MAX.into()) as u32;
        let longer = self.sorted_ms.partition_point(|&ms| ms <= elapsed_ms);
        let longer = &self.sorted_ms[longer..];
        if let Some(&median_ms) = longer.get(longer.len() / 2) {
            return Duration::from_millis((median_ms - elapsed_ms).into());
        }
        match assumed.checked_sub(elapsed) {
            Some(left) if self.sorted_ms.is_empty() && !left.is_zero() => left,
            Some(_) | None => elapsed / OVERDUE_DIVISOR,
        }
    }
}

/// Adds a start that took from `requested` to `ready`, forgetting the oldest.
pub fn remember(recent_ms: &mut Vec<u32>, requested: Timestamp, ready: Timestamp) {
    if recent_ms.len() >= REMEMBERED {
        recent_ms.remove(0);
    }
    let took_ms = ready.since(requested).as_millis();
    recent_ms.push(took_ms.min(u32::MAX.into()) as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSUMED: Duration = Duration::from_secs(10);

    #[test]
    fn the_definition_is_believed_until_starts_are_seen() {
        let none = Startups::default();
        assert_eq!(none.quantile(0.5, ASSUMED), ASSUMED);
        assert_eq!(
            none.remaining(Duration::from_secs(4), ASSUMED),
            Duration::from_secs(6)
        );
    }

    #[test]
    fn the_longer_a_start_has_taken_the_slower_the_starts_it_is_compared_with() {
        let seen = Startups::of(&[1_000, 2_000, 3_000, 9_000]);
        assert_eq!(seen.quantile(0.5, ASSUMED), Duration::from_secs(3));
        let left = |elapsed_s| seen.remaining(Duration::from_secs(elapsed_s), ASSUMED);
        assert_eq!(left(0), Duration::from_secs(3));
        assert_eq!(left(4), Duration::from_secs(5));
        assert_eq!(left(20), Duration::from_secs(10));
    }

    #[test]
    fn only_the_last_starts_are_remembered() {
        let mut recent = Vec::new();
        for second in 0..40 {
            let start = Timestamp::from_millis(0);
            remember(&mut recent, start, start + Duration::from_secs(second));
        }
        assert_eq!(recent.len(), REMEMBERED);
        assert_eq!(recent[0], 8_000);
    }
}
