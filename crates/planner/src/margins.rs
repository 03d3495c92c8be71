//! Recent demand plus a margin: the reactive alternative.

use crate::demand::FadingMean;

/// Memories in ticks, one for each variant.
const MEMORIES: [f64; 2] = [40.0, 400.0];
/// How many variants there are.
pub(crate) const VARIANTS: usize = MEMORIES.len();
/// How many margins are tried.
pub(crate) const MARGINS: usize = 18;
const LEAST: f64 = -0.5;
const STEP: f64 = 0.35;

/// Means and deviations of the highest demand over a start-up time in each tick.
#[derive(Debug, Clone)]
pub(crate) struct Margins {
    moments: [(FadingMean, FadingMean); VARIANTS],
}

impl Margins {
    pub(crate) fn new() -> Self {
        Self {
            moments: MEMORIES.map(|ticks| (FadingMean::new(ticks), FadingMean::new(ticks))),
        }
    }

    /// Takes in the highest demand of a tick.
    pub(crate) fn add(&mut self, highest: f64) {
        for (mean, square) in &mut self.moments {
            mean.add(highest, 1.0);
            square.add(highest * highest, 1.0);
        }
    }

    /// Mean plus so many deviations, by setting.
    pub(crate) fn target(&self, variant: usize, setting: f64) -> u32 {
        let (mean, square) = &self.moments[variant];
        let mean = mean.mean();
        let deviation = (square.mean() - mean * mean).max(0.0).sqrt();
        let z = LEAST + STEP * setting;
        (mean + z * deviation - 1e-6).max(0.0).ceil() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_demand_needs_no_margin() {
        let mut margins = Margins::new();
        for _ in 0..100 {
            margins.add(5.0);
        }
        assert_eq!(margins.target(0, 10.0), 5);
        margins.add(50.0);
        assert!(margins.target(0, 10.0) > 20);
    }
}
