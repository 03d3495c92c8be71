//! The demonstration's workload: notebooks that are opened in waves, one wave a minute.
//!
//! A minute stands for a day: a quiet background of single users, and a wave when everybody comes
//! to work. The same rhythm makes the sample history and the live load.

use std::time::Duration;

use foreshadow_types::Timestamp;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// One request of the sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SampleRequest {
    /// When it arrives.
    pub(super) at: Timestamp,
    /// Who asks: `user-0` to `user-11`.
    pub(super) user: String,
    /// How long the notebook is used.
    pub(super) hold: Duration,
}

/// The rhythm's period.
const PERIOD_MS: i64 = 60_000;
/// The wave lasts from the start of each period until here.
const WAVE_MS: i64 = 12_000;
const WAVE_PER_SECOND: f64 = 4.0;
const QUIET_PER_SECOND: f64 = 0.1;
const USERS: u32 = 12;
const HOLD_MS: std::ops::Range<u64> = 500..3_000;

/// When the waves come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    wave: Timestamp,
}

impl Rhythm {
    /// A wave begins at `wave`, and at every whole period before and after it.
    pub(super) fn with_wave_at(wave: Timestamp) -> Self {
        Self { wave }
    }

    /// Requests from `from` until before `to`: a Poisson process whose rate follows the rhythm, by
    /// thinning (Lewis and Shedler, 1979). The same seed and span give the same requests.
    pub(super) fn requests(self, seed: u64, from: Timestamp, to: Timestamp) -> Vec<SampleRequest> {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut requests = Vec::new();
        let mut at_ms = from.as_millis() as f64;
        loop {
            at_ms += -(1.0 - rng.random::<f64>()).ln() / WAVE_PER_SECOND * 1e3;
            let at = Timestamp::from_millis(at_ms as i64);
            if at >= to {
                return requests;
            }
            let accepted = rng.random::<f64>() < self.rate_per_second(at) / WAVE_PER_SECOND;
            let user = rng.random_range(0..USERS);
            let hold_ms = rng.random_range(HOLD_MS);
            if accepted {
                let hold = Duration::from_millis(hold_ms);
                let user = format!("user-{user}");
                requests.push(SampleRequest { at, user, hold });
            }
        }
    }

    fn rate_per_second(self, at: Timestamp) -> f64 {
        let since_wave_ms = at.as_millis() - self.wave.as_millis();
        if since_wave_ms.rem_euclid(PERIOD_MS) < WAVE_MS {
            WAVE_PER_SECOND
        } else {
            QUIET_PER_SECOND
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_repeats_and_comes_in_waves() {
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(3_600_000));
        let rhythm = Rhythm::with_wave_at(from);
        let sample = rhythm.requests(7, from, to);
        assert_eq!(sample, rhythm.requests(7, from, to));
        assert!(sample.is_sorted_by_key(|request| request.at));
        let in_waves = sample
            .iter()
            .filter(|r| r.at.as_millis() % PERIOD_MS < WAVE_MS)
            .count();
        assert!(
            in_waves * 10 > sample.len() * 7,
            "{in_waves} of {}",
            sample.len()
        );
    }
}
