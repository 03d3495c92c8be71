//! Series that never were, so that those that were are not learned by heart.

use serde::{Deserialize, Serialize};

use crate::{
    fit::data::{Candidate, Source},
    random::Random,
};

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
        let day = source.clock.bins_per_day();
        let other = source.draw(random);
        let (one, second) = (source.candidate(candidate), source.candidate(other));
        Self {
            candidate: other,
            shift: day * random.below(source.end / day + 1),
            factors: factors(one, second, random.unit()),
        }
    }
}

/// Counts are added up, so that they stay counts; of other values an average is made, the second series
/// with this share, each in units of its level.
fn factors(one: Candidate, second: Candidate, share: f32) -> (f32, f32) {
    if one.counts && second.counts {
        (1.0, 1.0)
    } else {
        (1.0 - share, share * one.level / second.level)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_forecast::{Panel, SeriesId};
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;
    use crate::FitData;

    fn two(one: &[f32], other: &[f32]) -> FitData {
        let ids = ["one", "other"]
            .map(|entity| SeriesId::of_entity(EntityId::new(entity).unwrap(), "load".to_owned()));
        let (start, interval) = (Timestamp::from_millis(0), Duration::from_mins(5));
        let values = [one, other].concat();
        let panel = Panel::new(start, interval, ids.to_vec(), one.len(), values);
        FitData::new(vec![(panel, one.len(), 1.0)])
    }

    /// What becomes of the first series, which is known from the second bin on.
    fn varied(variation: &Variation, data: &FitData) -> Vec<f32> {
        let source = &data.sources[0];
        let followed = variation.of(source, 0, 1);
        assert_eq!(followed.get(source.end), None);
        (0..source.end)
            .map(|bin| followed.get(bin).unwrap())
            .collect()
    }

    /// A quarter of the second series in the first.
    fn mixed(shift: usize, one: &[f32], other: &[f32]) -> Vec<f32> {
        let data = two(one, other);
        let source = &data.sources[0];
        let mixture = Mixture {
            candidate: 1,
            shift,
            factors: factors(source.candidate(0), source.candidate(1), 0.25),
        };
        let variation = Variation {
            mixture: Some(mixture),
            reversed: false,
        };
        varied(&variation, &data)
    }

    #[test]
    fn a_mixture_keeps_the_level_of_the_first_series_and_its_gaps() {
        let values = mixed(1, &[1.5, f32::NAN, 2.5], &[30.5, 10.5, f32::NAN]);
        // The levels are 2 and 20.5, so the second series counts a 10.25th.
        assert!((values[0] - (0.75 * 1.5 + 0.25 * 10.5 / 10.25)).abs() < 1e-5);
        assert!(values[1].is_nan());
        assert!((values[2] - (0.75 * 2.5 + 0.25 * 30.5 / 10.25)).abs() < 1e-5);
    }

    #[test]
    fn counts_stay_counts() {
        assert_eq!(mixed(0, &[0.0, 2.0], &[5.0, 1.0]), [5.0, 3.0]);
    }

    #[test]
    fn what_is_known_runs_backwards() {
        let variation = Variation {
            mixture: None,
            reversed: true,
        };
        let values = varied(&variation, &two(&[1.0, 2.0, 3.0, 4.0], &[1.0; 4]));
        assert_eq!(values, [1.0, 4.0, 3.0, 2.0]);
    }
}
