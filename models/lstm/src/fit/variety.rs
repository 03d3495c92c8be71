//! Series that never were, so that those that were are not learned by heart.

use serde::{Deserialize, Serialize};

use crate::{fit::data::Source, random::Random};

const DAY_MS: u128 = 86_400_000;

/// How often a lane follows something else than a series as it was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variety {
    /// The share of mixtures of two series, after `TSMixup` (Ansari et al., 2024).
    pub mixed: f32,
    /// The share of series that run backwards.
    pub reversed: f32,
}

/// What becomes of one series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Variation {
    mixture: Option<Mixture>,
    reversed: bool,
}

/// A second series, by the days that it is moved back, and its share.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mixture {
    candidate: usize,
    shift: usize,
    share: f32,
}

impl Variation {
    pub(crate) fn draw(variety: Variety, source: &Source, random: &mut Random) -> Self {
        let mixed = random.unit() < variety.mixed;
        Self {
            mixture: mixed.then(|| Mixture::draw(source, random)),
            reversed: random.unit() < variety.reversed,
        }
    }

    /// A series' values; what is known of it begins at the bin `from`.
    pub(crate) fn values(&self, source: &Source, candidate: usize, from: usize) -> Vec<f32> {
        let mut values = source.values(candidate).to_vec();
        if let Some(mixture) = &self.mixture {
            mixture.mix_into(&mut values, source.values(mixture.candidate));
        }
        if self.reversed {
            values[from..].reverse();
        }
        values
    }
}

impl Mixture {
    fn draw(source: &Source, random: &mut Random) -> Self {
        let day = (DAY_MS / source.panel.interval().as_millis().max(1)).max(1) as usize;
        Self {
            candidate: source.draw(random),
            shift: day * random.below(source.end / day + 1),
            share: random.unit(),
        }
    }

    /// Counts are added up, so that they stay counts; other values are averaged, each in units of its
    /// series' level. The other series adds nothing where it has no value.
    fn mix_into(&self, values: &mut [f32], other: &[f32]) {
        let (own, others) = if are_counts(values) && are_counts(other) {
            (1.0, 1.0)
        } else {
            let ratio = level(values) / level(other).max(f32::MIN_POSITIVE);
            (1.0 - self.share, self.share * ratio)
        };
        for (bin, value) in values.iter_mut().enumerate() {
            let added = other[(bin + self.shift) % other.len()];
            let added = if added.is_finite() { added } else { 0.0 };
            *value = own * *value + others * added;
        }
    }
}

fn known(values: &[f32]) -> impl Iterator<Item = f32> {
    values.iter().copied().filter(|value| value.is_finite())
}

fn are_counts(values: &[f32]) -> bool {
    known(values).all(|value| value >= 0.0 && value.fract() == 0.0)
}

/// The mean magnitude.
fn level(values: &[f32]) -> f32 {
    let (sum, count) = known(values).fold((0.0_f64, 0.0_f64), |(sum, count), value| {
        (sum + f64::from(value.abs()), count + 1.0)
    });
    (sum / count.max(1.0)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(share: f32, shift: usize, one: &[f32], other: &[f32]) -> Vec<f32> {
        let mixture = Mixture {
            candidate: 0,
            shift,
            share,
        };
        let mut values = one.to_vec();
        mixture.mix_into(&mut values, other);
        values
    }

    #[test]
    fn a_mixture_keeps_the_level_of_the_first_series_and_its_gaps() {
        let values = mixed(0.25, 1, &[1.5, f32::NAN, 2.5], &[30.5, 10.5, f32::NAN]);
        // The levels are 2 and 20.5, so the second series counts a 10.25th.
        assert!((values[0] - (0.75 * 1.5 + 0.25 * 10.5 / 10.25)).abs() < 1e-5);
        assert!(values[1].is_nan());
        assert!((values[2] - (0.75 * 2.5 + 0.25 * 30.5 / 10.25)).abs() < 1e-5);
    }

    #[test]
    fn counts_stay_counts() {
        assert_eq!(mixed(0.3, 0, &[0.0, 2.0], &[5.0, 1.0]), [5.0, 3.0]);
    }
}
