//! Times and durations of the wire.

use std::time::Duration;

use foreshadow_types::Timestamp;
use pbjson_types::{Duration as WireDuration, Timestamp as WireTimestamp};

use crate::FieldError;

/// A hundred years, the longest duration anything works with.
const LONGEST_S: i64 = 36_525 * 86_400;
/// 0001-01-01 and 9999-12-31, the range of the wire's timestamps.
const TIMES_S: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;

/// A duration of zero or more, if the field is set.
///
/// # Errors
/// [`FieldError`] if it is negative, malformed or longer than a hundred years.
pub fn duration_from_proto(
    field: &str,
    wire: Option<WireDuration>,
) -> Result<Option<Duration>, FieldError> {
    let Some(WireDuration { seconds, nanos }) = wire else {
        return Ok(None);
    };
    if seconds < 0 || nanos < 0 {
        let given = seconds as f64 + f64::from(nanos) / 1e9;
        let problem = format!("{given}s is negative; give zero or more");
        return Err(FieldError::new(field, problem));
    }
    if !NANOS.contains(&nanos) {
        let problem = format!("{nanos} nanoseconds are more than a second; carry them over");
        return Err(FieldError::new(field, problem));
    }
    if seconds > LONGEST_S {
        let problem = format!("{seconds}s is too long; give at most 100 years");
        return Err(FieldError::new(field, problem));
    }
    Ok(Some(Duration::new(seconds as u64, nanos as u32)))
}

/// A duration above zero, if the field is set.
///
/// # Errors
/// [`FieldError`] as [`duration_from_proto`], and if it is zero.
pub fn positive_duration(
    field: &str,
    wire: Option<WireDuration>,
) -> Result<Option<Duration>, FieldError> {
    let duration = duration_from_proto(field, wire)?;
    if duration == Some(Duration::ZERO) {
        let problem = "is zero; give more, or leave it out for the default";
        return Err(FieldError::new(field, problem));
    }
    Ok(duration)
}

/// A time to the millisecond, if the field is set.
///
/// # Errors
/// [`FieldError`] if it is malformed or outside of the years 1 to 9999.
pub fn timestamp_from_proto(
    field: &str,
    wire: Option<WireTimestamp>,
) -> Result<Option<Timestamp>, FieldError> {
    let Some(WireTimestamp { seconds, nanos }) = wire else {
        return Ok(None);
    };
    if !TIMES_S.contains(&seconds) || !NANOS.contains(&nanos) {
        let problem = format!(
            "{seconds}s and {nanos}ns after 1970 is not a time; give one in the years 1 to 9999"
        );
        return Err(FieldError::new(field, problem));
    }
    let millis = seconds * 1000 + i64::from(nanos / 1_000_000);
    Ok(Some(Timestamp::from_millis(millis)))
}

/// A duration for the wire.
pub fn duration_to_proto(duration: Duration) -> WireDuration {
    WireDuration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

/// A time for the wire, held within the years 1 to 9999.
pub fn timestamp_to_proto(at: Timestamp) -> WireTimestamp {
    let millis = at.as_millis();
    WireTimestamp {
        seconds: millis
            .div_euclid(1000)
            .clamp(*TIMES_S.start(), *TIMES_S.end()),
        nanos: (millis.rem_euclid(1000) * 1_000_000) as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_durations_are_refused_with_their_field() {
        for (seconds, nanos, word) in [
            (-5, 0, "negative"),
            (0, -1, "negative"),
            (0, 1_000_000_000, "more than a second"),
            (i64::MAX, 0, "too long"),
        ] {
            let error = duration_from_proto("max_wait", Some(WireDuration { seconds, nanos }))
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("`max_wait`: ") && error.contains(word),
                "{error}"
            );
        }
        assert!(positive_duration("tick", Some(WireDuration::default())).is_err());
        assert_eq!(duration_from_proto("max_wait", None), Ok(None));
    }

    #[test]
    fn times_read_back_to_the_millisecond() {
        for millis in [0, -1, 1_372_636_800_123, -62_135_596_800_000] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(
                timestamp_from_proto("at", Some(timestamp_to_proto(at))),
                Ok(Some(at))
            );
        }
        let wild = WireTimestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert!(timestamp_from_proto("at", Some(wild)).is_err());
        let bounded = timestamp_to_proto(Timestamp::MAX);
        assert!(timestamp_from_proto("at", Some(bounded)).is_ok());
    }
}
