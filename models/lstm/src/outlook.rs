//! What the head is shown of all steps ahead of one series at once.

use foreshadow_types::Timestamp;
use pulp::{Arch, Simd, WithSimd};

use crate::{
    clock::Clock,
    features::{ANCHORS, MOVING, View, compress},
    lanes,
    memory::Seasons,
};

/// Slots around a step's own whose mean is shown, to each side.
const MEAN_REACH: usize = 3;
/// Slots around a step's own whose range is shown, to each side.
const RANGE_REACH: usize = 2;
/// Anchors that differ from step to step: latest day, around it, average day, week.
const SEASONAL: [usize; 4] = [1, 2, 3, 7];

/// Neighbouring steps ahead, the same for all series of a tick.
#[derive(Debug)]
pub(crate) struct Horizon {
    slots_per_day: usize,
    steps: Vec<Step>,
    /// How far ahead the steps are, as the head is shown it: `[2, steps]`.
    distances: Vec<f32>,
}

#[derive(Debug)]
struct Step {
    slot: usize,
    /// Slots after the first step's.
    offset: usize,
    hour_of_week: usize,
}

impl Horizon {
    /// The steps `first..first + count` after the bin that starts at `at`.
    pub(crate) fn new(clock: Clock, at: Timestamp, first: usize, count: usize) -> Self {
        let slots_per_day = clock.slots_per_day();
        let mut steps: Vec<Step> = Vec::with_capacity(count);
        for step in first..first + count {
            let target = clock.later(at, step);
            let slot = clock.slot(target);
            let offset = steps.last().map_or(0, |before| {
                before.offset + (slot + slots_per_day - before.slot) % slots_per_day
            });
            steps.push(Step {
                slot,
                offset,
                hour_of_week: Clock::hour_of_week(target),
            });
        }
        let ahead = first..first + count;
        let logs = ahead.clone().map(|step| 0.3 * (step as f32).ln());
        let hours = ahead.map(|step| 0.4 * (step as f32 * clock.hours()).ln_1p());
        Self {
            slots_per_day,
            distances: logs.chain(hours).collect(),
            steps,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }
}

/// Features and anchors of one series, a row for each, a column for each step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlook {
    /// `[MOVING, steps]`.
    pub(crate) features: Vec<f32>,
    /// `[ANCHORS, steps]`.
    pub(crate) anchors: Vec<f32>,
    surroundings: Surroundings,
}

impl Outlook {
    /// What [`View::write_ahead`] and [`View::anchors`] say of each step.
    pub(crate) fn fill(&mut self, view: &View<'_>, horizon: &Horizon) {
        let n = horizon.len();
        self.features.resize(MOVING.len() * n, 0.0);
        self.anchors.resize(ANCHORS * n, 0.0);
        let seasons = view.seasons();
        self.surroundings.fill(&seasons, horizon);
        for (row, value) in self.anchors.chunks_exact_mut(n).zip(view.fixed_anchors()) {
            row.fill(value);
        }
        let (distances, features) = self.features.split_at_mut(2 * n);
        distances.copy_from_slice(&horizon.distances);
        let day = view.level_day();
        let scaled = view.inverse();
        for (index, step) in horizon.steps.iter().enumerate() {
            let near = &self.surroundings;
            let latest = known(near.latest(step.offset), day);
            let around = known(near.mean[step.offset], latest);
            let profile = seasons.profile[step.slot].get().unwrap_or(latest);
            let week = seasons.week[step.hour_of_week].get().unwrap_or(around);
            let before = seasons.day_before[step.slot].get().unwrap_or(latest) * scaled;
            let (low, high) = (near.low[step.offset], near.high[step.offset]);
            let (low, high) = if low <= high {
                (low, high)
            } else {
                (latest, latest)
            };
            let levels = [latest, around, profile, week].map(|level| level * scaled);
            let change = (levels[0] - before).abs();
            for (anchor, level) in SEASONAL.into_iter().zip(levels) {
                self.anchors[anchor * n + index] = level;
            }
            let shown = [before, change, low * scaled, high * scaled].into_iter();
            for (row, value) in shown.chain(levels).enumerate() {
                features[row * n + index] = value;
            }
        }
        Arch::new().dispatch(Compress(features));
    }
}

/// The latest day around the steps' slots; what is not known is not a number.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    /// From `MEAN_REACH` slots before the first step's slot on.
    latest: Vec<f32>,
    /// By the slot's offset from the first step's.
    mean: Vec<f32>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Surroundings {
    fn fill(&mut self, seasons: &Seasons<'_>, horizon: &Horizon) {
        let slots = horizon.slots_per_day;
        let (Some(first), Some(last)) = (horizon.steps.first(), horizon.steps.last()) else {
            return;
        };
        let count = last.offset + 1;
        self.latest.clear();
        let mut slot = (first.slot + MEAN_REACH * slots - MEAN_REACH) % slots;
        for _ in 0..count + 2 * MEAN_REACH {
            self.latest
                .push(seasons.latest_day[slot].get().unwrap_or(f32::NAN));
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
        for rows in [&mut self.mean, &mut self.low, &mut self.high] {
            rows.resize(count, 0.0);
        }
        let mean_reach = MEAN_REACH.min(slots / 12);
        let range_reach = RANGE_REACH.min(slots / 12);
        for offset in 0..count {
            let middle = offset + MEAN_REACH;
            self.mean[offset] = mean(&self.latest[middle - mean_reach..=middle + mean_reach]);
            let near = &self.latest[middle - range_reach..=middle + range_reach];
            self.low[offset] = near.iter().fold(f32::INFINITY, |low, &x| low.min(x));
            self.high[offset] = near.iter().fold(f32::NEG_INFINITY, |high, &x| high.max(x));
        }
    }

    fn latest(&self, offset: usize) -> f32 {
        self.latest[offset + MEAN_REACH]
    }
}

fn known(value: f32, otherwise: f32) -> f32 {
    if value.is_nan() { otherwise } else { value }
}

/// Of what is known; not a number where nothing is.
fn mean(values: &[f32]) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for &value in values {
        sum += known(value, 0.0);
        count += f32::from(u8::from(!value.is_nan()));
    }
    sum / count
}

/// [`compress`] of many numbers.
struct Compress<'a>(&'a mut [f32]);

impl WithSimd for Compress<'_> {
    type Output = ();

    #[expect(
        clippy::inline_always,
        reason = "what is not inlined is not compiled for the vector instructions found"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (whole, rest) = S::as_mut_simd_f32s(self.0);
        for value in whole {
            let x = *value;
            let magnitude = simd.min_f32s(simd.splat_f32s(1e18), simd.abs_f32s(x));
            let one = simd.splat_f32s(1.0);
            let root = simd.sqrt_f32s(simd.mul_add_e_f32s(magnitude, magnitude, one));
            let log = lanes::ln(simd, simd.add_f32s(magnitude, root));
            let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
            *value = simd.select_f32s(negative, simd.neg_f32s(log), log);
        }
        for value in rest {
            *value = compress(*value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{features::AHEAD, memory::Memory, random::Random};

    fn remembered(clock: Clock, bins: usize, random: &mut Random) -> (Memory, Timestamp) {
        let mut memory = Memory::new(clock);
        let mut at = Timestamp::from_millis(1_372_636_800_000);
        for _ in 0..bins {
            let value = if random.unit() < 0.2 {
                f32::NAN
            } else {
                9.0 * random.unit() - 2.0
            };
            at = clock.later(at, 1);
            memory.push(clock, at, value);
        }
        (memory, at)
    }

    #[test]
    fn all_steps_at_once_are_what_each_is_alone() {
        let mut random = Random::new(5, 0);
        for (seconds, bins) in [
            (10, 700),
            (300, 1),
            (300, 900),
            (420, 400),
            (3600, 70),
            (30_000, 9),
        ] {
            let clock = Clock::new(Duration::from_secs(seconds));
            let (memory, at) = remembered(clock, bins, &mut random);
            let view = View::new(&memory, clock, at);
            let (first, n) = (3, 50);
            let horizon = Horizon::new(clock, at, first, n);
            let mut outlook = Outlook::default();
            outlook.fill(&view, &horizon);
            for step in 0..n {
                let mut alone = [0.0; AHEAD];
                view.write_ahead(first + step, &mut alone, 1);
                let moving = MOVING.map(|feature| alone[feature]);
                for (row, expected) in moving.into_iter().enumerate() {
                    let found = outlook.features[row * n + step];
                    assert!(
                        (found - expected).abs() < 1e-6,
                        "{seconds} {row} {found} {expected}"
                    );
                }
                let anchors = view.anchors(clock.later(at, first + step));
                for (row, expected) in anchors.into_iter().enumerate() {
                    assert_eq!(outlook.anchors[row * n + step], expected);
                }
            }
        }
    }
}
