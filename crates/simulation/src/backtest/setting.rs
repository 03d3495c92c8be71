//! What a replay is run under: times, tick and scored window.

use std::{num::NonZeroU32, time::Duration};

use foreshadow_types::Timestamp;
use thiserror::Error;

use super::{StartupTime, Trace};

/// The most ticks one replay makes for a pool.
const MAX_TICKS: u128 = 100_000_000;

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// The tick is zero.
    #[error("the tick is zero; it is at least one millisecond")]
    ZeroTick,
    /// The tick is too short for so long a log.
    #[error("a tick of {tick:?} makes more than {MAX_TICKS} ticks over this log")]
    TooManyTicks {
        /// The tick.
        tick: Duration,
    },
    /// Requests share instances of pools that are to be bounded.
    #[error(
        "a bound on the instances of a pool cannot be replayed with requests that share them; leave \
         out the bound, or sharing and the column `merge_key`"
    )]
    SharedAndBounded,
    /// Scoring would start outside the log.
    #[error("scoring from {from} is outside the requests, which span {start} to {end}")]
    FromOutside {
        /// The start asked for.
        from: Timestamp,
        /// The first request.
        start: Timestamp,
        /// The last request.
        end: Timestamp,
    },
}

/// What every policy of a backtest is run under.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    start: Timestamp,
    from: Timestamp,
    to: Timestamp,
    tick: Duration,
    startup: StartupTime,
    max_instances: Option<NonZeroU32>,
    shared: bool,
}

impl Setting {
    /// Replays `trace` from its first request and scores from `from` to its last.
    ///
    /// # Errors
    /// [`SettingError`] if `from` is outside the log or the tick does not suit it.
    pub fn new(
        trace: &Trace,
        from: Timestamp,
        tick: Duration,
        startup: StartupTime,
    ) -> Result<Self, SettingError> {
        let (start, end) = (trace.start(), trace.end());
        if from < start || from > end {
            return Err(SettingError::FromOutside { from, start, end });
        }
        Self::within(trace, (from, end), tick, startup)
    }

    /// The same over a window that may reach beyond the requests on either side.
    ///
    /// # Errors
    /// [`SettingError`] if the window ends before it begins or the tick does not suit it.
    pub fn within(
        trace: &Trace,
        (from, to): (Timestamp, Timestamp),
        tick: Duration,
        startup: StartupTime,
    ) -> Result<Self, SettingError> {
        let (start, end) = (trace.start().min(from), trace.end().max(to));
        if tick < Duration::from_millis(1) {
            return Err(SettingError::ZeroTick);
        }
        if end.since(start).as_millis() / tick.as_millis() > MAX_TICKS {
            return Err(SettingError::TooManyTicks { tick });
        }
        if from > to {
            return Err(SettingError::FromOutside { from, start, end });
        }
        Ok(Self {
            start,
            from,
            to: end,
            tick,
            startup,
            max_instances: None,
            shared: trace.is_shared(),
        })
    }

    /// Each pool holds at most so many instances, those that requests hold included.
    ///
    /// # Errors
    /// [`SettingError::SharedAndBounded`] if requests of the log share instances: when a place becomes
    /// free then depends on who comes later.
    pub fn with_max_instances(self, most: Option<NonZeroU32>) -> Result<Self, SettingError> {
        if self.shared && most.is_some() {
            return Err(SettingError::SharedAndBounded);
        }
        Ok(Self {
            max_instances: most,
            ..self
        })
    }

    /// The first tick: the time of the log's first request.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Where scoring starts.
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Where scoring and the replay end.
    pub fn to(&self) -> Timestamp {
        self.to
    }

    /// The time between two ticks.
    pub fn tick(&self) -> Duration {
        self.tick
    }

    /// How long an instance takes to start.
    pub fn startup(&self) -> StartupTime {
        self.startup
    }

    /// The most instances a pool holds, those that requests hold included; no limit if absent.
    pub fn max_instances(&self) -> Option<NonZeroU32> {
        self.max_instances
    }

    /// Whether starts fail or pools are bounded.
    pub(crate) fn is_strained(&self) -> bool {
        self.startup.can_fail() || self.max_instances.is_some()
    }

    /// Start-up and one tick: how far ahead of a request its instance must be asked for, since it
    /// can be asked for only at a tick.
    pub fn lead_time(&self) -> Duration {
        self.startup.typical() + self.tick
    }

    /// The times of the ticks in milliseconds since the epoch.
    pub fn ticks_ms(&self) -> impl Iterator<Item = i64> + use<> {
        let step = self.tick.as_millis() as usize;
        (self.start.as_millis()..=self.to.as_millis()).step_by(step)
    }
}
