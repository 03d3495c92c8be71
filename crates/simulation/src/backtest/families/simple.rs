//! Policies whose knowledge is a count at each tick.

use std::time::Duration;

use foreshadow_planner::baselines::{DemandMoments, TrailingMaximum, TrailingMoments};
use foreshadow_types::format_duration;

use crate::backtest::{
    PoolTrace, Setting,
    curve::{Family, PoolSchedule},
};

/// A constant pool; the parameter is its size.
pub(crate) struct StaticFamily {
    ticks: usize,
    largest: u32,
}

impl StaticFamily {
    pub(crate) fn new(pool: &PoolTrace, setting: &Setting) -> Self {
        Self {
            ticks: setting.ticks_ms().count(),
            largest: u32::try_from(pool.len() + 1).unwrap_or(u32::MAX),
        }
    }
}

impl Family for StaticFamily {
    fn largest(&self) -> u32 {
        self.largest
    }

    fn plan(&self, number: u32) -> PoolSchedule {
        PoolSchedule::Targets(vec![number; self.ticks])
    }

    fn describe(&self, number: u32) -> String {
        format!("size {number}")
    }
}

/// Steps of `z`, for the policies that keep deviations above a mean: from −4 to 60.
pub(super) const LARGEST_Z_NUMBER: u32 = 4096;

/// The `z` of a number.
pub(super) fn z(number: u32) -> f32 {
    const STEP: f32 = 1.0 / 64.0;
    const LEAST_Z: f32 = -4.0;
    LEAST_Z + number as f32 * STEP
}

/// The targets that `z` makes of moments at each tick.
pub(super) fn targets_of(moments: &[DemandMoments], number: u32) -> PoolSchedule {
    let z = z(number);
    PoolSchedule::Targets(moments.iter().map(|moments| moments.target(z)).collect())
}

/// Trailing mean and deviation over one window; the parameter is `z`.
pub(crate) struct ReactiveFamily {
    window: Duration,
    moments: Vec<DemandMoments>,
}

impl ReactiveFamily {
    pub(crate) fn new(demand: &[u32], setting: &Setting, window: Duration) -> Self {
        let ticks = window.as_millis() / setting.tick().as_millis();
        let mut trailing = TrailingMoments::new(ticks as usize);
        Self {
            window,
            moments: demand.iter().map(|&count| trailing.push(count)).collect(),
        }
    }
}

impl Family for ReactiveFamily {
    fn largest(&self) -> u32 {
        LARGEST_Z_NUMBER
    }

    fn plan(&self, number: u32) -> PoolSchedule {
        targets_of(&self.moments, number)
    }

    fn describe(&self, number: u32) -> String {
        format!(
            "window {}, z {:.2}",
            format_duration(self.window),
            z(number)
        )
    }
}

/// Trailing maximum; the parameter is the window in ticks.
pub(crate) struct KeepAliveFamily {
    demand: Vec<u32>,
    tick: Duration,
}

impl KeepAliveFamily {
    pub(crate) fn new(demand: Vec<u32>, setting: &Setting) -> Self {
        Self {
            demand,
            tick: setting.tick(),
        }
    }
}

impl Family for KeepAliveFamily {
    fn largest(&self) -> u32 {
        u32::try_from(self.demand.len()).unwrap_or(u32::MAX)
    }

    fn plan(&self, number: u32) -> PoolSchedule {
        let mut largest = TrailingMaximum::new(u64::from(number));
        PoolSchedule::Targets(
            self.demand
                .iter()
                .map(|&count| largest.push(count))
                .collect(),
        )
    }

    fn describe(&self, number: u32) -> String {
        format!("window {}", format_duration(self.tick * number))
    }
}

/// The demand that really comes; there is one parameter only.
pub(crate) struct ClairvoyantFamily {
    coming: Vec<u32>,
}

impl ClairvoyantFamily {
    pub(crate) fn new(coming: Vec<u32>) -> Self {
        Self { coming }
    }
}

impl Family for ClairvoyantFamily {
    fn largest(&self) -> u32 {
        0
    }

    fn plan(&self, _: u32) -> PoolSchedule {
        PoolSchedule::Targets(self.coming.clone())
    }

    fn describe(&self, _: u32) -> String {
        "none".to_owned()
    }
}
