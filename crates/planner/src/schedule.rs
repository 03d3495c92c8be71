//! Windows of time in which a pool is kept at least so large.

use std::{fmt, str::FromStr, time::Duration};

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use foreshadow_types::{PoolName, Timestamp};
use thiserror::Error;

use crate::known::{Floor, FloorCause};

/// Moments as cron writes them: five fields and, if not UTC, a time zone, such as
/// `0 8 * * MON-FRI Europe/Berlin`. `H` is not taken.
#[derive(Debug, Clone)]
pub struct CronTime {
    text: String,
    crontab: Crontab,
}

/// A text that is no crontab.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not understood ({reason}); give five fields and a time zone if it is not UTC, for \
     example \"0 8 * * MON-FRI Europe/Berlin\""
)]
pub struct ScheduleError {
    text: String,
    reason: String,
}

impl FromStr for CronTime {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        match cronexpr::parse_crontab_with(text, options) {
            Ok(crontab) => Ok(Self {
                text: text.to_owned(),
                crontab,
            }),
            Err(error) => Err(ScheduleError {
                text: text.to_owned(),
                reason: first_words(&error.to_string()),
            }),
        }
    }
}

/// The parser draws the place of a fault over several lines; its last says what it is.
fn first_words(message: &str) -> String {
    let said = message.lines().rev().find(|line| !line.trim().is_empty());
    said.unwrap_or(message)
        .trim_matches(|c: char| c == '^' || c.is_whitespace())
        .to_owned()
}

impl fmt::Display for CronTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for CronTime {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl CronTime {
    /// The first such moment after `at`, if there is one.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let at = cronexpr::MakeTimestamp::from_millisecond(at.as_millis()).ok()?;
        let next = self.crontab.find_next(at).ok()?;
        Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
    }
}

/// At least `count` instances of a pool from each of some moments on, for so long.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name, for people.
    pub name: String,
    /// The pool.
    pub pool: PoolName,
    /// When each window starts.
    pub starts: CronTime,
    /// How long each window lasts.
    pub lasts: Duration,
    /// How many instances are kept warm at least.
    pub count: u32,
}

impl Schedule {
    /// The floor it sets at `now`, if `now` lies in a window or so near before one that instances
    /// must be started for it.
    pub fn floor_at(&self, now: Timestamp, lead: Duration) -> Option<Floor> {
        let start = self.starts.next_after(now - self.lasts)?;
        (start <= now + lead).then(|| Floor {
            count: self.count,
            cause: FloorCause::Schedule {
                name: self.name.clone(),
                until: start + self.lasts,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn office_hours() -> Schedule {
        Schedule {
            name: "office".to_owned(),
            pool: PoolName::new("notebook").unwrap(),
            starts: "0 8 * * MON-FRI Europe/Berlin".parse().unwrap(),
            lasts: Duration::from_hours(10),
            count: 5,
        }
    }

    #[test]
    fn a_window_begins_a_lead_time_early_and_ends_in_time() {
        let lead = Duration::from_mins(3);
        // 24 November 2025 is a Monday; Berlin is an hour ahead of UTC.
        for (time, inside) in [
            ("2025-11-24T06:56:59Z", false),
            ("2025-11-24T06:57:00Z", true),
            ("2025-11-24T16:59:59Z", true),
            ("2025-11-24T17:00:00Z", false),
            ("2025-11-23T12:00:00Z", false),
        ] {
            let floor = office_hours().floor_at(at(time), lead);
            assert_eq!(floor.is_some(), inside, "{time}");
        }
    }

    #[test]
    fn the_time_zone_counts_and_utc_is_usual() {
        let summer: CronTime = "0 8 * * * Europe/Berlin".parse().unwrap();
        assert_eq!(
            summer.next_after(at("2025-07-01T00:00:00Z")),
            Some(at("2025-07-01T06:00:00Z"))
        );
        let utc: CronTime = "0 8 * * *".parse().unwrap();
        assert_eq!(
            utc.next_after(at("2025-07-01T00:00:00Z")),
            Some(at("2025-07-01T08:00:00Z"))
        );
    }

    #[test]
    fn what_is_no_crontab_is_refused_with_an_example() {
        for text in ["", "at eight", "61 * * * *", "0 8 * * * Mars/Olympus"] {
            let error = text.parse::<CronTime>().unwrap_err().to_string();
            assert!(error.contains("Europe/Berlin"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
