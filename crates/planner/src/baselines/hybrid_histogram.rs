//! The hybrid histogram policy for instances that are used again.
//!
//! Shahrad et al., *Serverless in the Wild: Characterizing and Optimizing the Serverless Workload at a
//! Large Cloud Provider*, USENIX ATC 2020, §4: the time from the end of one use to the next request is
//! counted in 240 bins of one minute. Where the histogram says something (the coefficient of variation
//! of its bins is at least 2), an instance is dropped after a use, started again shortly before the
//! head percentile and kept until the tail percentile, with a margin of a tenth at both ends; where it
//! does not, instances are kept for the histogram's four hours. Where most times are longer than that,
//! the next one is forecast by an autoregression (of the paper's ARIMA family the order (1, 0, 0),
//! fitted by least squares) with a margin of 15 % at both ends.

use std::{collections::VecDeque, time::Duration};

/// Bins of the histogram.
const BINS: usize = 240;

/// The width of a bin.
const BIN: Duration = Duration::from_mins(1);

/// The share of times that is waited for before an instance is started again.
const HEAD: f64 = 0.05;

/// The margin taken off the head and put on the tail.
const MARGIN: f64 = 0.1;

/// The coefficient of variation from which the histogram is followed.
const REPRESENTATIVE: f64 = 2.0;

/// The share of times beyond the histogram from which they are forecast.
const MOSTLY_BEYOND: f64 = 0.5;

/// The margin at both ends of a forecast time.
const FORECAST_MARGIN: f64 = 0.15;

/// The most times the autoregression is fitted to.
const FITTED: usize = 512;

/// What becomes of an instance after a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// How long after the use an instance is to be ready again; zero means it stays.
    pub pre_warm: Duration,
    /// How long it is kept from then on.
    pub keep_alive: Duration,
}

/// The idle times of one pool so far.
#[derive(Debug, Clone)]
pub struct IdleTimes {
    tail: f64,
    bins: [u32; BINS],
    within: u64,
    squares: u64,
    beyond: u64,
    recent_s: VecDeque<f64>,
}

impl IdleTimes {
    /// With the tail percentile as a share; the paper's is 0.99.
    pub fn new(tail: f64) -> Self {
        Self {
            tail,
            bins: [0; BINS],
            within: 0,
            squares: 0,
            beyond: 0,
            recent_s: VecDeque::new(),
        }
    }

    /// An instance was wanted this long after the last use of one ended.
    pub fn observe(&mut self, idle: Duration) {
        let bin = (idle.as_millis() / BIN.as_millis()) as usize;
        match self.bins.get_mut(bin) {
            Some(count) => {
                self.squares += 2 * u64::from(*count) + 1;
                *count += 1;
                self.within += 1;
            }
            None => self.beyond += 1,
        }
        if self.recent_s.len() == FITTED {
            self.recent_s.pop_front();
        }
        self.recent_s.push_back(idle.as_secs_f64());
    }

    /// What to do with an instance whose use ends now.
    pub fn windows(&self) -> Windows {
        let seen = self.within + self.beyond;
        if seen > 0 && self.beyond as f64 > MOSTLY_BEYOND * seen as f64 {
            return self.forecast_windows();
        }
        if self.within == 0 || self.variation() < REPRESENTATIVE {
            return Windows {
                pre_warm: Duration::ZERO,
                keep_alive: BIN * BINS as u32,
            };
        }
        let head = BIN * self.percentile_bin(HEAD) as u32;
        let tail = BIN * (self.percentile_bin(self.tail) as u32 + 1);
        let pre_warm = head.mul_f64(1.0 - MARGIN);
        Windows {
            pre_warm,
            keep_alive: tail.mul_f64(1.0 + MARGIN).saturating_sub(pre_warm),
        }
    }

    /// The coefficient of variation of the bins' counts.
    fn variation(&self) -> f64 {
        let mean = self.within as f64 / BINS as f64;
        let variance = self.squares as f64 / BINS as f64 - mean * mean;
        variance.max(0.0).sqrt() / mean
    }

    /// The bin in which this share of the times within the histogram is reached.
    fn percentile_bin(&self, share: f64) -> usize {
        let rank = ((share * self.within as f64).ceil() as u64).max(1);
        let mut below = 0;
        self.bins
            .iter()
            .position(|&count| {
                below += u64::from(count);
                below >= rank
            })
            .unwrap_or(BINS - 1)
    }

    fn forecast_windows(&self) -> Windows {
        let next_s = self.forecast_s();
        Windows {
            pre_warm: Duration::from_secs_f64(next_s * (1.0 - FORECAST_MARGIN)),
            keep_alive: Duration::from_secs_f64(next_s * 2.0 * FORECAST_MARGIN),
        }
    }

    /// The next time by a first-order autoregression on the recent ones, within their range.
    fn forecast_s(&self) -> f64 {
        let count = self.recent_s.len() as f64;
        let mean = self.recent_s.iter().sum::<f64>() / count;
        let (mut cross, mut square) = (0.0, 0.0);
        for (before, after) in self.recent_s.iter().zip(self.recent_s.iter().skip(1)) {
            cross += (before - mean) * (after - mean);
            square += (before - mean) * (before - mean);
        }
        let slope = if square > 0.0 {
            (cross / square).clamp(-0.99, 0.99)
        } else {
            0.0
        };
        let last = self.recent_s.back().copied().unwrap_or(mean);
        (mean + slope * (last - mean)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(count: u64) -> Duration {
        Duration::from_mins(count)
    }

    #[test]
    fn what_says_nothing_is_kept_for_four_hours() {
        let windows = IdleTimes::new(0.99).windows();
        assert_eq!(windows.pre_warm, Duration::ZERO);
        assert_eq!(windows.keep_alive, minutes(240));
    }

    #[test]
    fn a_narrow_histogram_drops_and_starts_again() {
        let mut times = IdleTimes::new(0.99);
        for _ in 0..100 {
            times.observe(minutes(30));
        }
        let windows = times.windows();
        assert_eq!(windows.pre_warm, minutes(27));
        // The tail is the end of bin 30: 31 minutes and a tenth.
        assert_eq!(
            windows.pre_warm + windows.keep_alive,
            minutes(31).mul_f64(1.1)
        );
    }

    #[test]
    fn an_even_histogram_is_not_followed() {
        let mut times = IdleTimes::new(0.99);
        for minute in 0..240 {
            times.observe(minutes(minute));
        }
        assert_eq!(times.windows().keep_alive, minutes(240));
    }

    #[test]
    fn long_times_are_forecast() {
        let mut times = IdleTimes::new(0.99);
        for _ in 0..10 {
            times.observe(minutes(1000));
        }
        let windows = times.windows();
        assert_eq!(windows.pre_warm, minutes(850));
        assert_eq!(windows.keep_alive, minutes(300));
    }
}
