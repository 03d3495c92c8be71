//! Whether forecasts have become worse: the test of Page and Hinkley (Page, Biometrika 1954;
//! Hinkley, Biometrika 1971) on the error of each tick.
//!
//! The error is standardised by its own mean and deviation since the last drift, so that one pair of
//! constants serves series of all sizes, and cut at a few deviations, so that a single wild tick is
//! no drift. The sum of what it exceeds its mean by, less a tolerance, is compared with its lowest
//! value so far: a rise beyond a threshold is drift.

/// Ticks before which nothing is said.
const WARM_UP: u64 = 30;
/// The rise of the mean error, in deviations, that is tolerated.
const TOLERANCE: f64 = 0.5;
/// The rise of the sum that counts as drift, in deviations.
const THRESHOLD: f64 = 15.0;
/// Errors beyond so many deviations count as so many.
const CUT: f64 = 4.0;
/// The least deviation. Errors are shares of the size of what is forecast; where they hardly differ,
/// a difference that matters to nobody is no drift.
const LEAST_DEVIATION: f64 = 0.05;

/// Watches one kind of error.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PageHinkley {
    ticks: u64,
    mean: f64,
    /// Σ(error − mean)².
    squares: f64,
    sum: f64,
    lowest: f64,
}

impl PageHinkley {
    /// Takes the error of the next tick; true if errors have drifted upwards. The test then begins
    /// anew, from the errors as they are now.
    pub(super) fn add(&mut self, error: f64) -> bool {
        if !error.is_finite() {
            return false;
        }
        if self.ticks >= WARM_UP {
            let deviation = (self.squares / (self.ticks - 1) as f64).sqrt();
            let deviation = deviation.max(LEAST_DEVIATION);
            let standardised = ((error - self.mean) / deviation).clamp(-CUT, CUT);
            self.sum += standardised - TOLERANCE;
            self.lowest = self.lowest.min(self.sum);
            if self.sum - self.lowest > THRESHOLD {
                *self = Self::default();
                return true;
            }
        }
        self.ticks += 1;
        let step = error - self.mean;
        self.mean += step / self.ticks as f64;
        self.squares += step * (error - self.mean);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from 0 to 1 without a pattern that matters.
    fn noise(tick: u64) -> f64 {
        let mixed = (tick + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64
            / (1_u64 << 53) as f64
    }

    #[test]
    fn a_lasting_rise_is_found_soon_and_steady_errors_are_no_drift() {
        let mut test = PageHinkley::default();
        assert!((0..20_000).all(|tick| !test.add(1.0 + noise(tick))));
        let found = (20_000..20_100).position(|tick| test.add(2.5 + noise(tick)));
        assert!(found.is_some_and(|ticks| ticks < 20), "{found:?}");
    }

    #[test]
    fn one_wild_tick_is_no_drift() {
        let mut test = PageHinkley::default();
        (0..200).for_each(|tick| assert!(!test.add(1.0 + noise(tick))));
        assert!(!test.add(1e9));
        assert!((201..400).all(|tick| !test.add(1.0 + noise(tick))));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut test = PageHinkley::default();
        for _ in 0..1_000 {
            assert!(!test.add(f64::NAN) && !test.add(0.0));
        }
    }
}
