//! The policies with a free parameter, as [`Family`].

use foreshadow_planner::baselines::{DemandMoments, TrailingMaximum, TrailingMoments};
use foreshadow_types::format_duration;

use super::{PoolTrace, Setting, curve::Family};

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

    fn targets(&self, number: u32) -> Vec<u32> {
        vec![number; self.ticks]
    }

    fn describe(&self, number: u32) -> String {
        format!("size {number}")
    }
}

/// Trailing mean and deviation over one window; the parameter is `z`.
pub(crate) struct ReactiveFamily {
    window: std::time::Duration,
    moments: Vec<DemandMoments>,
}

impl ReactiveFamily {
    /// `z` goes from −4 to 60 in these steps.
    const STEP: f32 = 1.0 / 64.0;
    const LEAST_Z: f32 = -4.0;
    const LARGEST: u32 = 4096;

    pub(crate) fn new(demand: &[u32], setting: &Setting, window: std::time::Duration) -> Self {
        let ticks = window.as_millis() / setting.tick().as_millis();
        let mut trailing = TrailingMoments::new(ticks as usize);
        Self {
            window,
            moments: demand.iter().map(|&count| trailing.push(count)).collect(),
        }
    }

    fn z(number: u32) -> f32 {
        Self::LEAST_Z + number as f32 * Self::STEP
    }
}

impl Family for ReactiveFamily {
    fn largest(&self) -> u32 {
        Self::LARGEST
    }

    fn targets(&self, number: u32) -> Vec<u32> {
        let z = Self::z(number);
        self.moments
            .iter()
            .map(|moments| moments.target(z))
            .collect()
    }

    fn describe(&self, number: u32) -> String {
        format!(
            "window {}, z {:.2}",
            format_duration(self.window),
            Self::z(number)
        )
    }
}

/// Trailing maximum; the parameter is the window in ticks.
pub(crate) struct KeepAliveFamily {
    demand: Vec<u32>,
    tick: std::time::Duration,
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

    fn targets(&self, number: u32) -> Vec<u32> {
        let mut largest = TrailingMaximum::new(u64::from(number));
        self.demand
            .iter()
            .map(|&count| largest.push(count))
            .collect()
    }

    fn describe(&self, number: u32) -> String {
        format!("window {}", format_duration(self.tick * number))
    }
}
