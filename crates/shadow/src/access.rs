//! When an entity is used: an hour-of-week profile and the next expected use.

use std::time::Duration;

use foreshadow_types::Timestamp;

/// Hours in a week; hour 0 is Monday 00:00–01:00 UTC.
pub const HOURS_OF_WEEK: usize = 168;

const HOUR: Duration = Duration::from_hours(1);
const HOUR_MS: i64 = 3_600_000;
const WEEK_MS: i64 = 168 * HOUR_MS;
/// The epoch was a Thursday: Monday 1970-01-05 begins week zero.
const FIRST_MONDAY_MS: i64 = 4 * 24 * HOUR_MS;
/// What a week of age leaves of an access: half in four weeks.
const WEEKLY_KEPT: f64 = 0.840_896_415_253_714_6;
/// How many weeks of evidence the hour of the day counts for against the hour of the week.
const PRIOR_WEEKS: f64 = 1.0;
/// A next use further away than this is not foretold.
const FURTHEST_HOURS: usize = 2 * HOURS_OF_WEEK;

/// Counts of accesses by hour of the week, fading from week to week.
#[derive(Debug, Clone)]
pub(crate) struct AccessProfile {
    counts: [f32; HOURS_OF_WEEK],
    /// The week the counts have faded to.
    week: i64,
    first: Timestamp,
    latest: Timestamp,
    total: u64,
}

fn week_of(at: Timestamp) -> i64 {
    (at.as_millis().saturating_sub(FIRST_MONDAY_MS)).div_euclid(WEEK_MS)
}

fn hour_of_week(at: Timestamp) -> usize {
    let into_week = (at.as_millis().saturating_sub(FIRST_MONDAY_MS)).rem_euclid(WEEK_MS);
    (into_week / HOUR_MS) as usize
}

impl AccessProfile {
    /// A profile of one access.
    pub(crate) fn new(at: Timestamp) -> Self {
        let mut profile = Self {
            counts: [0.0; HOURS_OF_WEEK],
            week: week_of(at),
            first: at,
            latest: at,
            total: 0,
        };
        profile.add(at);
        profile
    }

    pub(crate) fn add(&mut self, at: Timestamp) {
        let week = week_of(at);
        let weight = if week > self.week {
            let kept = kept_after(week - self.week) as f32;
            self.counts.iter_mut().for_each(|count| *count *= kept);
            self.week = week;
            1.0
        } else {
            kept_after(self.week - week) as f32
        };
        self.counts[hour_of_week(at)] += weight;
        self.first = self.first.min(at);
        self.latest = self.latest.max(at);
        self.total += 1;
    }

    pub(crate) fn latest(&self) -> Timestamp {
        self.latest
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Expected accesses in each hour of the week.
    ///
    /// An hour of the week is shrunk towards the same hour of other days, and that towards the mean,
    /// by the evidence each has, so that a young profile is smooth and an old one is sharp.
    pub(crate) fn hourly_rates(&self, now: Timestamp) -> [f32; HOURS_OF_WEEK] {
        let now = now.max(self.latest);
        let fade = kept_after(week_of(now) - self.week);
        let exposures: [f64; HOURS_OF_WEEK] =
            std::array::from_fn(|hour| exposure_weeks(hour, self.first, now));
        let count = |hour: usize| f64::from(self.counts[hour]) * fade;
        let overall = shrunk(
            (0..HOURS_OF_WEEK).map(count).sum(),
            exposures.iter().sum(),
            0.0,
        );
        let daily: [f64; 24] = std::array::from_fn(|hour| {
            let same = (hour..HOURS_OF_WEEK).step_by(24);
            shrunk(
                same.clone().map(count).sum(),
                same.map(|h| exposures[h]).sum(),
                overall,
            )
        });
        std::array::from_fn(|hour| shrunk(count(hour), exposures[hour], daily[hour % 24]) as f32)
    }

    /// The median time of the next access after `now`, if it is within two weeks: where the
    /// cumulated hourly rates, taken as those of a Poisson process, reach ln 2.
    pub(crate) fn next_expected(&self, now: Timestamp) -> Option<Timestamp> {
        let rates = self.hourly_rates(now);
        let mut hour_start = now.floor_to(HOUR);
        let mut left = std::f64::consts::LN_2;
        let mut from = now;
        for _ in 0..=FURTHEST_HOURS {
            let end = hour_start + HOUR;
            let share = end.since(from).as_secs_f64() / HOUR.as_secs_f64();
            let expected = f64::from(rates[hour_of_week(hour_start)]) * share;
            if expected >= left {
                return Some(from + end.since(from).mul_f64(left / expected));
            }
            left -= expected;
            (hour_start, from) = (end, end);
        }
        None
    }
}

fn shrunk(count: f64, exposure: f64, prior: f64) -> f64 {
    (count + PRIOR_WEEKS * prior) / (exposure + PRIOR_WEEKS)
}

fn kept_after(weeks: i64) -> f64 {
    WEEKLY_KEPT.powi(i32::try_from(weeks).unwrap_or(i32::MAX))
}

/// How often an hour of the week came up since `first`, each faded by its age in weeks.
fn exposure_weeks(hour: usize, first: Timestamp, now: Timestamp) -> f64 {
    let begun = |at: Timestamp| week_of(at) + i64::from(hour_of_week(at) >= hour);
    let before_first = week_of(first) + i64::from(hour_of_week(first) > hour);
    let occurrences = (begun(now) - before_first).clamp(0, i64::from(i32::MAX));
    (1.0 - kept_after(occurrences)) / (1.0 - WEEKLY_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn monday_begins_the_week() {
        assert_eq!(hour_of_week(at("2026-01-05T00:30:00Z")), 0);
        assert_eq!(hour_of_week(at("2026-01-11T23:59:00Z")), 167);
    }

    #[test]
    fn a_weekly_habit_is_expected_again() {
        let first = at("2026-01-07T09:15:00Z");
        let mut profile = AccessProfile::new(first);
        for week in 1..12 {
            for minute in 0..3 {
                profile.add(first + Duration::from_hours(168 * week) + Duration::from_mins(minute));
            }
        }
        let now = at("2026-03-28T12:00:00Z");
        let next = profile.next_expected(now).unwrap();
        assert_eq!(next.floor_to(HOUR), at("2026-04-01T09:00:00Z"), "{next}");
    }

    #[test]
    fn a_young_profile_carries_over_to_other_days() {
        let mut profile = AccessProfile::new(at("2026-01-05T09:15:00Z"));
        for minute in 16..40 {
            profile.add(at("2026-01-05T09:00:00Z") + Duration::from_mins(minute));
        }
        let rates = profile.hourly_rates(at("2026-01-05T18:00:00Z"));
        assert!(
            rates[24 + 9] > 4.0 * rates[24 + 3],
            "Tuesday at nine against Tuesday at three"
        );
    }

    #[test]
    fn a_forgotten_user_is_not_expected() {
        let profile = AccessProfile::new(at("2020-01-05T09:15:00Z"));
        assert_eq!(profile.next_expected(at("2026-01-05T09:15:00Z")), None);
    }

    #[test]
    fn extreme_times_do_no_harm() {
        let mut profile = AccessProfile::new(Timestamp::MIN);
        profile.add(Timestamp::MAX);
        assert!(
            profile
                .hourly_rates(Timestamp::MAX)
                .iter()
                .all(|rate| rate.is_finite())
        );
    }
}
