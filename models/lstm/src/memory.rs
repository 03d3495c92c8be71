//! What is remembered of a series beside the recurrent state: scales, levels and seasons in a fixed
//! number of bytes, updated once a step and never looking ahead. The seasons lie apart, so that those
//! of many series can share one allocation.

use foreshadow_types::Timestamp;

use crate::{
    average::{Average, Half, rate},
    clock::Clock,
    extremes::Extremes,
};

/// Hours that the scale looks back over.
const DAY_HOURS: f32 = 24.0;
/// How much of a day's profile a new day replaces.
const PROFILE_RATE: f32 = 0.3;
/// How much of a week's profile a new week replaces.
const WEEK_RATE: f32 = 0.5;
/// How far a tracked quantile moves, in scales, when a day is 288 steps.
const QUANTILE_RATE: f32 = 0.04;
/// The levels of the tracked quantiles.
const TRACKED: [f32; 3] = [0.1, 0.5, 0.9];
const HOURS_A_WEEK: usize = 168;
/// A change by more than this share of the recent range is a jump.
const JUMP: f32 = 0.25;

/// Running facts of one series. Everything that the network sees comes from here and its seasons.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Memory {
    /// Steps since the first sample.
    pub(crate) age: u32,
    /// Whether the latest step had no sample.
    pub(crate) missing: bool,
    pub(crate) last: f32,
    pub(crate) previous: f32,
    pub(crate) magnitude_day: Average,
    pub(crate) magnitude_week: Average,
    pub(crate) magnitude_ever: Average,
    pub(crate) level_hour: Average,
    pub(crate) level_quarter: Average,
    pub(crate) level_day: Average,
    pub(crate) level_week: Average,
    pub(crate) roughness: Average,
    pub(crate) zeros: Average,
    pub(crate) quantiles: [f32; 3],
    /// The smallest magnitude seen that is not zero: 1 for counts.
    pub(crate) grain: f32,
    /// Whether a value below zero was seen.
    pub(crate) signed: bool,
    pub(crate) extremes_day: Extremes,
    pub(crate) extremes_week: Extremes,
    /// Steps since the value last jumped.
    pub(crate) since_jump: u32,
    /// The value before it jumped: where a series that is on or off may go back to.
    pub(crate) before_jump: f32,
    slot: u16,
    slot_samples: u16,
    hour: u16,
    hour_mean: f32,
    hour_samples: u16,
}

/// What a series usually does, by the slot of the day and the hour of the week.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seasons<'a> {
    pub(crate) latest_day: &'a [Half],
    pub(crate) day_before: &'a [Half],
    pub(crate) profile: &'a [Half],
    pub(crate) week: &'a [Half],
}

impl<'a> Seasons<'a> {
    /// How many numbers they are.
    pub(crate) fn count(clock: Clock) -> usize {
        3 * clock.slots_per_day() + HOURS_A_WEEK
    }

    /// From the latest day, the day before it, the profile of a day and the hours of the week.
    pub(crate) fn of(all: &'a [Half], clock: Clock) -> Self {
        let slots = clock.slots_per_day();
        let (latest_day, rest) = all.split_at(slots);
        let (day_before, rest) = rest.split_at(slots);
        let (profile, week) = rest.split_at(slots);
        Self {
            latest_day,
            day_before,
            profile,
            week,
        }
    }
}

impl Memory {
    /// Of a series that has not been seen.
    pub(crate) fn new() -> Self {
        let none = Average::default();
        Self {
            age: 0,
            missing: true,
            last: 0.0,
            previous: 0.0,
            magnitude_day: none,
            magnitude_week: none,
            magnitude_ever: none,
            level_hour: none,
            level_quarter: none,
            level_day: none,
            level_week: none,
            roughness: none,
            zeros: none,
            quantiles: [0.0; 3],
            grain: 0.0,
            signed: false,
            extremes_day: Extremes::NONE,
            extremes_week: Extremes::NONE,
            since_jump: 0,
            before_jump: 0.0,
            slot: u16::MAX,
            slot_samples: 0,
            hour: u16::MAX,
            hour_mean: 0.0,
            hour_samples: 0,
        }
    }

    /// Whether the series has had a sample.
    pub(crate) fn started(&self) -> bool {
        self.age > 0
    }

    /// The magnitude that everything is expressed in; 0 only if all samples were 0.
    pub(crate) fn scale(&self) -> f32 {
        self.magnitude_day
            .get()
            .max(0.1 * self.magnitude_week.get())
            .max(0.02 * self.magnitude_ever.get())
    }

    /// Takes the bin that starts at `at`; a value that is not finite counts as missing. `seasons` are
    /// the series' own, as [`Seasons::of`] has them, [`Half::UNKNOWN`] before the first bin.
    pub(crate) fn push(&mut self, seasons: &mut [Half], clock: Clock, at: Timestamp, value: f32) {
        self.missing = !value.is_finite();
        if self.started() {
            self.age = self.age.saturating_add(1);
            self.since_jump = self.since_jump.saturating_add(1);
        }
        if self.missing {
            return;
        }
        self.track_range(at, value);
        self.track_levels(clock, value);
        self.track_seasons(seasons, clock, at, value);
        self.previous = if self.age > 1 { self.last } else { value };
        self.last = value;
    }

    fn track_range(&mut self, at: Timestamp, value: f32) {
        self.extremes_day.push(Clock::day(at), value);
        self.extremes_week.push(Clock::week(at), value);
        let from = if self.age == 0 { value } else { self.last };
        let range = self.extremes_day.high() - self.extremes_day.low();
        if self.age == 0 || (value - from).abs() > JUMP * range {
            self.since_jump = 0;
            self.before_jump = from;
        }
    }

    fn track_levels(&mut self, clock: Clock, value: f32) {
        let hours = clock.hours();
        let first = self.age == 0;
        if first {
            self.age = 1;
            self.quantiles = [value; 3];
        } else {
            self.roughness
                .push((value - self.last).abs(), rate(hours, DAY_HOURS));
        }
        let magnitude = value.abs();
        self.magnitude_day.push(magnitude, rate(hours, DAY_HOURS));
        self.magnitude_week
            .push(magnitude, rate(hours, 7.0 * DAY_HOURS));
        self.magnitude_ever
            .push(magnitude, rate(hours, 60.0 * DAY_HOURS));
        self.level_hour.push(value, rate(hours, 1.0).min(0.7));
        self.level_quarter.push(value, rate(hours, 6.0));
        self.level_day.push(value, rate(hours, DAY_HOURS));
        self.level_week.push(value, rate(hours, 7.0 * DAY_HOURS));
        self.zeros
            .push(f32::from(u8::from(value == 0.0)), rate(hours, DAY_HOURS));
        let stride = self.scale() * (QUANTILE_RATE * (hours * 12.0).sqrt()).min(0.3);
        for (quantile, level) in self.quantiles.iter_mut().zip(TRACKED) {
            *quantile += stride * (level - f32::from(u8::from(value < *quantile)));
        }
        if magnitude > 0.0 && (self.grain == 0.0 || magnitude < self.grain) {
            self.grain = magnitude;
        }
        self.signed |= value < 0.0;
    }

    fn track_seasons(&mut self, seasons: &mut [Half], clock: Clock, at: Timestamp, value: f32) {
        let slots = clock.slots_per_day();
        let slot = clock.slot(at);
        if usize::from(self.slot) == slot {
            self.slot_samples = self.slot_samples.saturating_add(1);
            let mean = seasons[slot].get().unwrap_or(value);
            seasons[slot] = Half::new(mean + (value - mean) / f32::from(self.slot_samples));
        } else {
            self.close_slot(seasons, slots);
            seasons[slots + slot] = seasons[slot];
            seasons[slot] = Half::new(value);
            self.slot = slot as u16;
            self.slot_samples = 1;
        }
        let hour = Clock::hour_of_week(at);
        if usize::from(self.hour) != hour {
            self.close_hour(seasons, slots);
            self.hour = hour as u16;
            self.hour_samples = 0;
            self.hour_mean = 0.0;
        }
        self.hour_samples = self.hour_samples.saturating_add(1);
        self.hour_mean += (value - self.hour_mean) / f32::from(self.hour_samples);
    }

    fn close_slot(&self, seasons: &mut [Half], slots: usize) {
        let slot = usize::from(self.slot);
        if slot < slots {
            let latest = seasons[slot].get();
            fold(&mut seasons[2 * slots + slot], latest, PROFILE_RATE);
        }
    }

    fn close_hour(&self, seasons: &mut [Half], slots: usize) {
        if let Some(kept) = seasons.get_mut(3 * slots + usize::from(self.hour)) {
            fold(kept, Some(self.hour_mean), WEEK_RATE);
        }
    }
}

/// A series by itself, with its seasons.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) memory: Memory,
    pub(crate) seasons: Box<[Half]>,
}

impl Remembered {
    /// Of a series that has not been seen.
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            memory: Memory::new(),
            seasons: vec![Half::UNKNOWN; Seasons::count(clock)].into_boxed_slice(),
        }
    }

    /// [`Memory::push`].
    pub(crate) fn push(&mut self, clock: Clock, at: Timestamp, value: f32) {
        self.memory.push(&mut self.seasons, clock, at, value);
    }
}

fn fold(kept: &mut Half, value: Option<f32>, rate: f32) {
    let Some(value) = value else { return };
    let before = kept.get().unwrap_or(value);
    *kept = Half::new(before + rate * (value - before));
}
