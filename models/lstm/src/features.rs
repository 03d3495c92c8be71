//! What the network is shown: at each step, and for each step ahead.
//!
//! The time of day and of the week are not among it, only what the series did then: a few weeks of
//! history let a network learn by heart what its largest series did on which day, and nothing else.

use foreshadow_types::Timestamp;

use crate::{
    average::Half,
    clock::Clock,
    memory::{Memory, Seasons},
};

/// How many numbers enter the recurrence at a step.
pub(crate) const INPUTS: usize = 25;
/// How many numbers describe a step ahead.
pub(crate) const AHEAD: usize = 22;
/// How many levels a forecast blends: the last of the features ahead, uncompressed.
pub(crate) const ANCHORS: usize = 12;

/// The features of a step ahead that differ from step to step.
pub(crate) const MOVING: [usize; 10] = [0, 1, 3, 4, 5, 6, 11, 12, 13, 17];
/// Those that are the same for all steps ahead of a series.
pub(crate) const FIXED: [usize; 12] = [2, 7, 8, 9, 10, 14, 15, 16, 18, 19, 20, 21];

/// The anchors that are the same for all steps ahead of a series.
pub(crate) const FIXED_ANCHORS: [usize; 8] = [0, 4, 5, 6, 8, 9, 10, 11];

/// How the blend begins, before anything is learned: at the last value, with a little of what is
/// usual at the time, and hardly any of the extremes.
pub(crate) const INITIAL_LOGITS: [f32; ANCHORS] = [
    2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -3.0, -3.0, -3.0, -3.0,
];

/// A series seen in units of its scale, at the start of its next bin.
pub(crate) struct View<'a> {
    memory: &'a Memory,
    seasons: Seasons<'a>,
    clock: Clock,
    /// The start of the latest bin.
    at: Timestamp,
    inverse: f32,
}

impl<'a> View<'a> {
    /// After the bin that starts at `at` was pushed.
    pub(crate) fn new(
        memory: &'a Memory,
        seasons: &'a [Half],
        clock: Clock,
        at: Timestamp,
    ) -> Self {
        let scale = memory.scale();
        Self {
            memory,
            seasons: Seasons::of(seasons, clock),
            clock,
            at,
            inverse: if scale > f32::MIN_POSITIVE {
                1.0 / scale
            } else {
                0.0
            },
        }
    }

    fn compressed(&self, value: f32) -> f32 {
        compress(value * self.inverse)
    }

    /// Writes the inputs of the recurrence, one every `stride` places from `out[0]`.
    pub(crate) fn write_inputs(&self, out: &mut [f32], stride: usize) {
        let m = self.memory;
        let c = |value| self.compressed(value);
        let or_level = |value: Option<f32>| c(value.unwrap_or_else(|| m.level_day.get()));
        let next = self.clock.later(self.at, 1);
        let slot = self.clock.slot(next);
        let here = self.clock.slot(self.at);
        let seasons = self.seasons;
        let yesterday = seasons.day_before[here].get().unwrap_or(m.last);
        let inputs: [f32; INPUTS] = [
            c(m.last),
            c(m.last - m.previous),
            c(m.last - yesterday),
            or_level(seasons.latest_day[slot].get()),
            or_level(seasons.day_before[slot].get()),
            or_level(seasons.profile[slot].get()),
            or_level(seasons.week[Clock::hour_of_week(next)].get()),
            c(m.level_hour.get()),
            c(m.level_quarter.get()),
            c(m.level_week.get()),
            self.log_roughness(),
            c(m.quantiles[0]),
            c(m.quantiles[1]),
            c(m.quantiles[2]),
            m.zeros.get(),
            0.25 * (1.0 / (m.grain * self.inverse).max(1e-6)).ln_1p(),
            f32::from(u8::from(m.missing)),
            (m.age as f32).ln_1p() / 8.0,
            0.3 * self.clock.hours().ln(),
            0.25 * (m.magnitude_ever.get() * self.inverse + 1e-4).ln(),
            c(m.extremes_day.high()),
            c(m.extremes_week.high()),
            c(m.extremes_week.low()),
            c(m.before_jump),
            (m.since_jump as f32).ln_1p() / 8.0,
        ];
        for (place, input) in inputs.into_iter().enumerate() {
            out[place * stride] = input;
        }
    }

    /// Writes the features of `steps` bins after the latest one, one every `stride` places.
    pub(crate) fn write_ahead(&self, steps: usize, out: &mut [f32], stride: usize) {
        let target = self.clock.later(self.at, steps);
        let anchors = self.anchors(target);
        let slot = self.clock.slot(target);
        let before = self.day_before(slot, anchors[1]);
        let (low, high) = self.range_around(slot, anchors[1]);
        let head: [f32; AHEAD - ANCHORS] = [
            0.3 * (steps as f32).ln(),
            0.4 * (steps as f32 * self.clock.hours()).ln_1p(),
            0.3 * self.clock.hours().ln(),
            compress(before),
            compress((anchors[1] - before).abs()),
            compress(low),
            compress(high),
            self.compressed(self.memory.quantiles[0]),
            self.compressed(self.memory.quantiles[2]),
            self.log_roughness(),
        ];
        for (place, feature) in head.into_iter().chain(anchors.map(compress)).enumerate() {
            out[place * stride] = feature;
        }
    }

    /// Writes the features [`FIXED`], one every `stride` places.
    pub(crate) fn write_fixed(&self, out: &mut [f32], stride: usize) {
        let anchors = self.fixed_anchors();
        let head = [
            0.3 * self.clock.hours().ln(),
            self.compressed(self.memory.quantiles[0]),
            self.compressed(self.memory.quantiles[2]),
            self.log_roughness(),
        ];
        let fixed = FIXED_ANCHORS.map(|anchor| compress(anchors[anchor]));
        for (place, feature) in head.into_iter().chain(fixed).enumerate() {
            out[place * stride] = feature;
        }
    }

    /// The anchors of a step that is like no other: the seasonal ones are 0.
    pub(crate) fn fixed_anchors(&self) -> [f32; ANCHORS] {
        let m = self.memory;
        [
            m.last,
            0.0,
            0.0,
            0.0,
            m.level_hour.get(),
            m.level_day.get(),
            m.quantiles[1],
            0.0,
            m.extremes_day.high(),
            m.extremes_week.high(),
            m.extremes_week.low(),
            m.before_jump,
        ]
        .map(|value| value * self.inverse)
    }

    /// All seasons, not in units of the scale.
    pub(crate) fn seasons(&self) -> Seasons<'a> {
        self.seasons
    }

    /// The day's average, not in units of the scale.
    pub(crate) fn level_day(&self) -> f32 {
        self.memory.level_day.get()
    }

    /// One over the scale; 0 where there is none.
    pub(crate) fn inverse(&self) -> f32 {
        self.inverse
    }

    /// The levels that a forecast for the bin at `target` blends, in units of the scale.
    pub(crate) fn anchors(&self, target: Timestamp) -> [f32; ANCHORS] {
        let slot = self.clock.slot(target);
        let seasons = self.seasons;
        let latest = seasons.latest_day[slot].get();
        let latest = latest.unwrap_or(self.memory.level_day.get());
        let around = self.mean_around(slot).unwrap_or(latest);
        let week = seasons.week[Clock::hour_of_week(target)].get();
        let mut anchors = self.fixed_anchors();
        anchors[1] = latest * self.inverse;
        anchors[2] = around * self.inverse;
        anchors[3] = seasons.profile[slot].get().unwrap_or(latest) * self.inverse;
        anchors[7] = week.unwrap_or(around) * self.inverse;
        anchors
    }

    fn log_roughness(&self) -> f32 {
        0.25 * (self.memory.roughness.get() * self.inverse + 1e-4).ln()
    }

    fn day_before(&self, slot: usize, otherwise: f32) -> f32 {
        self.seasons.day_before[slot]
            .get()
            .map_or(otherwise, |value| value * self.inverse)
    }

    fn neighbours(&self, slot: usize, reach: usize) -> impl Iterator<Item = f32> {
        let slots = self.clock.slots_per_day();
        let reach = reach.min(slots / 12);
        (0..=2 * reach).filter_map(move |offset| {
            self.seasons.latest_day[(slot + slots + offset - reach) % slots].get()
        })
    }

    fn mean_around(&self, slot: usize) -> Option<f32> {
        let (sum, count) = self
            .neighbours(slot, 3)
            .fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    fn range_around(&self, slot: usize, otherwise: f32) -> (f32, f32) {
        let (low, high) = self
            .neighbours(slot, 2)
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if low <= high {
            (low * self.inverse, high * self.inverse)
        } else {
            (otherwise, otherwise)
        }
    }
}

/// The inverse hyperbolic sine: linear near zero, logarithmic far from it.
pub(crate) fn compress(value: f32) -> f32 {
    let magnitude = value.abs().min(1e18);
    (magnitude + (magnitude * magnitude + 1.0).sqrt())
        .ln()
        .copysign(value)
}
