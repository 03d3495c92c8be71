//! What the head is shown of all steps ahead of one series at once.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the vector instructions found"
)]

use foreshadow_types::Timestamp;
use pulp::{Simd, WithSimd};

use crate::{
    arch::arch,
    average::Half,
    clock::Clock,
    features::{ANCHORS, MOVING, View},
    lanes,
    memory::Seasons,
};

/// Slots around a step's own whose mean is shown, to each side.
const MEAN_REACH: usize = 3;
/// Slots around a step's own whose range is shown, to each side.
const RANGE_REACH: usize = 2;
/// How many features say how far ahead a step is: the first of [`MOVING`].
pub(crate) const DISTANCES: usize = 2;
/// How many say what the series did at its time: the rest, the last of which are of [`SEASONAL`].
pub(crate) const SHOWN: usize = MOVING.len() - DISTANCES;
/// Anchors that differ from step to step: latest day, around it, average day, week.
pub(crate) const SEASONAL: [usize; 4] = [1, 2, 3, 7];

/// Neighbouring steps ahead, the same for all series of a tick.
#[derive(Debug)]
pub(crate) struct Horizon {
    slots_per_day: usize,
    steps: Vec<Step>,
    /// Whether each step's slot is the one after that of the step before.
    slot_by_slot: bool,
    /// How far ahead the steps are, as the head is shown it: `[DISTANCES, steps]`.
    pub(crate) distances: Vec<f32>,
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
            slot_by_slot: steps.iter().enumerate().all(|(i, step)| step.offset == i),
            distances: logs.chain(hours).collect(),
            steps,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// How many slots the steps reach over.
    fn slots(&self) -> usize {
        self.steps.last().map_or(0, |last| last.offset + 1)
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
        if n == 0 {
            return;
        }
        self.features.resize(MOVING.len() * n, 0.0);
        self.anchors.resize(ANCHORS * n, 0.0);
        self.surroundings.fill(&view.seasons(), horizon);
        for (row, value) in self.anchors.chunks_exact_mut(n).zip(view.fixed_anchors()) {
            row.fill(value);
        }
        let (distances, features) = self.features.split_at_mut(DISTANCES * n);
        distances.copy_from_slice(&horizon.distances);
        arch().dispatch(Levels {
            by_step: self.surroundings.by_step(horizon),
            week: &self.surroundings.week,
            day: view.level_day(),
            scaled: view.inverse(),
            features,
            anchors: &mut self.anchors,
        });
    }
}

/// What is known of each step's slot; what is not known is not a number.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// The latest day.
    Latest,
    /// The mean around it.
    Mean,
    /// The least around it, above the greatest where there is none.
    Low,
    /// The greatest around it.
    High,
    /// The average day.
    Profile,
    /// The day before the latest.
    Before,
}

/// How many kinds of [`Known`] there are.
const KNOWN: usize = 6;

/// A row for each kind of [`Known`].
type Rows = [Vec<f32>; KNOWN];

/// The seasons around the steps.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    /// The latest day, from `MEAN_REACH` slots before the first step's slot on.
    latest: Vec<f32>,
    /// By the slot's offset from the first step's.
    by_slot: Rows,
    /// By step, where steps are not slots.
    by_step: Rows,
    /// The hour of the week, by step.
    week: Vec<f32>,
}

impl Surroundings {
    fn fill(&mut self, seasons: &Seasons<'_>, horizon: &Horizon) {
        let slots = horizon.slots_per_day;
        let (first, count) = (horizon.steps[0].slot, horizon.slots());
        self.latest.resize(count + 2 * MEAN_REACH, 0.0);
        for row in &mut self.by_slot {
            row.resize(count, 0.0);
        }
        let [_, _, _, _, profile, before] = &mut self.by_slot;
        let reached = (first + MEAN_REACH * slots - MEAN_REACH) % slots;
        for (row, season, slot) in [
            (&mut self.latest, seasons.latest_day, reached),
            (profile, seasons.profile, first),
            (before, seasons.day_before, first),
        ] {
            round(row, season, slot);
        }
        self.by_slot[Known::Latest as usize].copy_from_slice(&self.latest[MEAN_REACH..][..count]);
        self.week.clear();
        let hours = horizon.steps.iter().map(|step| step.hour_of_week);
        self.week
            .extend(hours.map(|hour| seasons.week[hour].or_nan()));
        arch().dispatch(Around {
            latest: &self.latest,
            rows: &mut self.by_slot,
            reaches: [MEAN_REACH, RANGE_REACH].map(|reach| reach.min(slots / 12)),
        });
        if !horizon.slot_by_slot {
            for (row, by_slot) in self.by_step.iter_mut().zip(&self.by_slot) {
                row.clear();
                row.extend(horizon.steps.iter().map(|step| by_slot[step.offset]));
            }
        }
    }

    fn by_step(&self, horizon: &Horizon) -> &Rows {
        if horizon.slot_by_slot {
            &self.by_slot
        } else {
            &self.by_step
        }
    }
}

/// Fills `row` with the season from a slot on, day after day.
fn round(row: &mut [f32], season: &[Half], slot: usize) {
    let (mut row, mut rest) = (row, &season[slot..]);
    while !row.is_empty() {
        let (now, later) = row.split_at_mut(row.len().min(rest.len()));
        for (value, half) in now.iter_mut().zip(rest) {
            *value = half.or_nan();
        }
        (row, rest) = (later, season);
    }
}

/// Mean and range of the latest day around each slot.
struct Around<'a> {
    latest: &'a [f32],
    rows: &'a mut Rows,
    /// Slots to each side: of the mean, of the range.
    reaches: [usize; 2],
}

impl WithSimd for Around<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [mean_reach, range_reach] = self.reaches;
        let zero = simd.splat_f32s(0.0);
        let one = simd.splat_f32s(1.0);
        let [least, greatest] = [f32::NEG_INFINITY, f32::INFINITY];
        for column in (0..self.rows[0].len()).step_by(S::F32_LANES) {
            let (mut sum, mut count) = (zero, zero);
            let (mut low, mut high) = (simd.splat_f32s(greatest), simd.splat_f32s(least));
            for place in MEAN_REACH - mean_reach..=MEAN_REACH + mean_reach {
                let value = lanes::load(simd, self.latest, column + place);
                let known = simd.equal_f32s(value, value);
                sum = simd.add_f32s(sum, simd.select_f32s(known, value, zero));
                count = simd.add_f32s(count, simd.select_f32s(known, one, zero));
                if place.abs_diff(MEAN_REACH) <= range_reach {
                    low = simd.min_f32s(low, simd.select_f32s(known, value, low));
                    high = simd.max_f32s(high, simd.select_f32s(known, value, high));
                }
            }
            for (kind, values) in [
                (Known::Mean, simd.div_f32s(sum, count)),
                (Known::Low, low),
                (Known::High, high),
            ] {
                lanes::store(simd, &mut self.rows[kind as usize], column, values);
            }
        }
    }
}

/// The seasonal anchors of each step, and the features made of them.
struct Levels<'a> {
    by_step: &'a Rows,
    week: &'a [f32],
    /// The day's average.
    day: f32,
    /// One over the scale.
    scaled: f32,
    /// `[MOVING, steps]` after the distances.
    features: &'a mut [f32],
    anchors: &'a mut [f32],
}

impl WithSimd for Levels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = self.week.len();
        let (day, scaled) = (simd.splat_f32s(self.day), simd.splat_f32s(self.scaled));
        for column in (0..n).step_by(S::F32_LANES) {
            let row = |kind: Known| lanes::load(simd, &self.by_step[kind as usize], column);
            let latest = known(simd, row(Known::Latest), day);
            let around = known(simd, row(Known::Mean), latest);
            let profile = known(simd, row(Known::Profile), latest);
            let week = known(simd, lanes::load(simd, self.week, column), around);
            let before = known(simd, row(Known::Before), latest);
            let (low, high) = (row(Known::Low), row(Known::High));
            let any = simd.less_than_or_equal_f32s(low, high);
            let low = simd.select_f32s(any, low, latest);
            let high = simd.select_f32s(any, high, latest);
            let before = simd.mul_f32s(before, scaled);
            let mut levels = [latest, around, profile, week];
            for (level, anchor) in levels.iter_mut().zip(SEASONAL) {
                *level = simd.mul_f32s(*level, scaled);
                let row = &mut self.anchors[anchor * n..(anchor + 1) * n];
                lanes::store(simd, row, column, *level);
            }
            let [latest, around, profile, week] = levels;
            let shown = [
                before,
                simd.abs_f32s(simd.sub_f32s(latest, before)),
                simd.mul_f32s(low, scaled),
                simd.mul_f32s(high, scaled),
                latest,
                around,
                profile,
                week,
            ];
            for (row, value) in self.features.chunks_exact_mut(n).zip(shown) {
                lanes::store(simd, row, column, lanes::compress(simd, value));
            }
        }
    }
}

/// `value` where it is a number.
#[inline(always)]
fn known<S: Simd>(simd: S, value: S::f32s, otherwise: S::f32s) -> S::f32s {
    simd.select_f32s(simd.equal_f32s(value, value), value, otherwise)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{arch::tests::on_every_arch, features::AHEAD, memory::Remembered, random::Random};

    fn remembered(clock: Clock, bins: usize, random: &mut Random) -> (Remembered, Timestamp) {
        let mut memory = Remembered::new(clock);
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
        on_every_arch(|| {
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
                let view = View::new(&memory.memory, &memory.seasons, clock, at);
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
        });
    }
}
