//! Times and durations of the wire as the standard library has them.

use std::time::{Duration, SystemTime};

use foreshadow_api::well_known;

/// A time for the wire. What lies before 1970 is 1970: long past either way.
pub(crate) fn to_wire(time: SystemTime) -> well_known::Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    well_known::Timestamp {
        seconds: since.as_secs() as i64,
        nanos: since.subsec_nanos() as i32,
    }
}

/// A time of the wire; none if it lies before 1970.
pub(crate) fn of_wire(time: &well_known::Timestamp) -> Option<SystemTime> {
    let since = Duration::new(
        u64::try_from(time.seconds).ok()?,
        u32::try_from(time.nanos).ok()?,
    );
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// A duration of the wire; none if it is negative.
pub(crate) fn span_of_wire(span: &well_known::Duration) -> Option<Duration> {
    let (seconds, nanos) = (u64::try_from(span.seconds), u32::try_from(span.nanos));
    Some(Duration::new(seconds.ok()?, nanos.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_790_000_000, 123_000_000);
        assert_eq!(of_wire(&to_wire(time)), Some(time));
    }

    #[test]
    fn what_is_before_1970_is_none_or_1970() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(to_wire(early), well_known::Timestamp::default());
        let wire = well_known::Timestamp {
            seconds: -1,
            nanos: 0,
        };
        assert_eq!(of_wire(&wire), None);
    }
}
