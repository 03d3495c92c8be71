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

/// A second series, moved by whole days, at whose end it begins again.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mixture {
    candidate: usize,
    shift: usize,
    /// What the first series and the second are multiplied by.
    factors: (f32, f32),
}

/// What a lane follows: the values of one series, varied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Followed<'a> {
    values: &'a [f32],
    other: Option<(&'a [f32], &'a Mixture)>,
    /// The bins from here on run backwards.
    reversed_from: Option<usize>,
}

impl Variation {
    pub(crate) fn draw(
        variety: Variety,
        source: &Source,
        candidate: usize,
        random: &mut Random,
    ) -> Self {
        let mixed = random.unit() < variety.mixed;
        Self {
            mixture: mixed.then(|| Mixture::draw(source, candidate, random)),
            reversed: random.unit() < variety.reversed,
        }
    }

    /// What becomes of a series that is known from the bin `from` on.
    pub(crate) fn of<'a>(
        &'a self,
        source: &'a Source,
        candidate: usize,
        from: usize,
    ) -> Followed<'a> {
        let mixture = self.mixture.as_ref();
        Followed {
            values: source.values(candidate),
            other: mixture.map(|mixture| (source.values(mixture.candidate), mixture)),
            reversed_from: self.reversed.then_some(from),
        }
    }
}

impl Followed<'_> {
    /// The value of a bin; none behind the end. The second series adds nothing where it has no value.
    pub(crate) fn get(&self, bin: usize) -> Option<f32> {
        let last = self.values.len().checked_sub(1)?;
        let bin = match self.reversed_from {
            Some(from) if bin >= from && bin <= last => from + last - bin,
            _ => bin,
        };
        let value = *self.values.get(bin)?;
        let Some((other, mixture)) = self.other else {
            return Some(value);
        };
        let added = other[(bin + mixture.shift) % other.len()];
        let added = if added.is_finite() { added } else { 0.0 };
        let (own, others) = mixture.factors;
        Some(own * value + others * added)
    }
}

impl Mixture {
    fn draw(source: &Source, candidate: usize, random: &mut Random) -> Self {
        let day = (DAY_MS / source.panel.interval().as_millis().max(1)).max(1) as usize;
        let other = source.draw(random);
        Self {
            candidate: other,
            shift: day * random.below(source.end / day + 1),
            factors: factors(
                source.values(candidate),
                source.values(other),
                random.unit(),
            ),
        }
    }
}

/// Counts are added up, so that they stay counts; of other values an average is made, the second series
/// with this share, each in units of its level.
fn factors(values: &[f32], other: &[f32], share: f32) -> (f32, f32) {
    if are_counts(values) && are_counts(other) {
        return (1.0, 1.0);
    }
    let ratio = level(values) / level(other).max(f32::MIN_POSITIVE);
    (1.0 - share, share * ratio)
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

    fn followed(variation: &Variation, one: &[f32], other: &[f32], from: usize) -> Vec<f32> {
        let followed = Followed {
            values: one,
            other: variation.mixture.as_ref().map(|mixture| (other, mixture)),
            reversed_from: variation.reversed.then_some(from),
        };
        assert_eq!(followed.get(one.len()), None);
        let values = (0..one.len()).map(|bin| followed.get(bin).expect("it is before the end"));
        values.collect()
    }

    fn mixed(share: f32, shift: usize, one: &[f32], other: &[f32]) -> Vec<f32> {
        let mixture = Mixture {
            candidate: 0,
            shift,
            factors: factors(one, other, share),
        };
        let variation = Variation {
            mixture: Some(mixture),
            reversed: false,
        };
        followed(&variation, one, other, 0)
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

    #[test]
    fn what_is_known_runs_backwards() {
        let variation = Variation {
            mixture: None,
            reversed: true,
        };
        let values = followed(&variation, &[1.0, 2.0, 3.0, 4.0], &[], 1);
        assert_eq!(values, [1.0, 4.0, 3.0, 2.0]);
    }
}
