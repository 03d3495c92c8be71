//! Where a bin lies in the day and in the week.

use std::time::Duration;

use foreshadow_types::Timestamp;

const DAY_MS: i64 = 86_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;
/// 1970-01-05 was a Monday.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;
/// The finest season kept: 288 slots a day, whatever the interval, so that memory is bounded.
const FINEST_SLOT_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;

/// The grid of time that a series lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    interval_ms: i64,
    slot_ms: i64,
}

impl Clock {
    /// For bins of `interval`, at least a millisecond.
    pub(crate) fn new(interval: Duration) -> Self {
        let interval_ms = (interval.as_millis() as i64).max(1);
        Self {
            interval_ms,
            slot_ms: interval_ms.clamp(FINEST_SLOT_MS, DAY_MS),
        }
    }

    /// How many seasonal slots a day has; the last may be shorter.
    pub(crate) fn slots_per_day(self) -> usize {
        (DAY_MS as u64).div_ceil(self.slot_ms as u64) as usize
    }

    /// How many whole bins a day has, at least one.
    pub(crate) fn bins_per_day(self) -> usize {
        (DAY_MS / self.interval_ms).max(1) as usize
    }

    /// The interval in hours.
    pub(crate) fn hours(self) -> f32 {
        self.interval_ms as f32 / HOUR_MS as f32
    }

    /// The time `steps` bins after `at`.
    pub(crate) fn later(self, at: Timestamp, steps: usize) -> Timestamp {
        Timestamp::from_millis(
            at.as_millis()
                .saturating_add(self.interval_ms.saturating_mul(steps as i64)),
        )
    }

    /// The start of the bin before the one at `at`.
    pub(crate) fn before(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_sub(self.interval_ms))
    }

    /// The seasonal slot of the day that `at` lies in.
    pub(crate) fn slot(self, at: Timestamp) -> usize {
        (at.as_millis().rem_euclid(DAY_MS) / self.slot_ms) as usize
    }

    /// The day that `at` lies in, counted from any one day.
    pub(crate) fn day(at: Timestamp) -> i64 {
        at.as_millis().div_euclid(DAY_MS)
    }

    /// The week that `at` lies in, counted from any one week.
    pub(crate) fn week(at: Timestamp) -> i64 {
        at.as_millis().div_euclid(WEEK_MS)
    }

    /// The hour of the week, Monday's first hour being 0.
    pub(crate) fn hour_of_week(at: Timestamp) -> usize {
        (since_monday(at) / HOUR_MS) as usize
    }
}

fn since_monday(at: Timestamp) -> i64 {
    at.as_millis()
        .saturating_sub(FIRST_MONDAY_MS)
        .rem_euclid(WEEK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_as_many_slots_as_its_interval_needs_and_no_more_than_288() {
        let slots = |seconds| Clock::new(Duration::from_secs(seconds)).slots_per_day();
        assert_eq!(
            [
                slots(10),
                slots(300),
                slots(420),
                slots(3600),
                slots(200_000)
            ],
            [288, 288, 206, 24, 1]
        );
    }

    #[test]
    fn hours_of_the_week_count_from_monday() {
        // 2013-07-01T00:00:00Z was a Monday.
        let monday = 1_372_636_800_000;
        let at = |hours: i64| Timestamp::from_millis(monday + hours * HOUR_MS);
        assert_eq!(Clock::hour_of_week(at(0)), 0);
        assert_eq!(Clock::hour_of_week(at(25)), 25);
        assert_eq!(Clock::hour_of_week(at(-1)), 167);
    }
}
