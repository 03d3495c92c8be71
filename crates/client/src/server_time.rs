//! The server's clock as seen from here: leases end by it, and this machine's may differ.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The `date` of an answer is cut to whole seconds.
const PRECISION: Duration = Duration::from_secs(1);

/// One reading of the server's clock. It errs to the early side: a lease seems to end up to a second
/// before it does, never after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerTime {
    /// The server's time at `sent` was not later than this.
    at: SystemTime,
    sent: Instant,
}

impl ServerTime {
    /// From the `date` of an answer to a call that was `sent` then; from this machine's time of day if
    /// there is none that can be read.
    pub(crate) fn read(date: Option<&str>, sent: Instant, wall: SystemTime) -> Self {
        let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
        let at = date.map_or(wall, |date| date + PRECISION);
        Self { at, sent }
    }

    /// When it is that time on the server; at the reading if that was before, or is past all times.
    pub(crate) fn when(&self, time: SystemTime) -> Instant {
        let left = time.duration_since(self.at).unwrap_or_default();
        self.sent.checked_add(left).unwrap_or(self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn after(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 + seconds)
    }

    #[test]
    fn a_deadline_is_read_by_the_servers_clock_and_not_by_ours() {
        let sent = clock::now();
        let time = ServerTime::read(Some(DATE), sent, after(1_000_000));
        assert_eq!(time.when(after(60)), sent + Duration::from_secs(59));
    }

    #[test]
    fn what_is_past_is_past_at_once() {
        let sent = clock::now();
        let time = ServerTime::read(Some(DATE), sent, after(0));
        assert_eq!(time.when(after(0)), sent);
    }

    #[test]
    fn a_time_past_all_times_is_no_panic() {
        let sent = clock::now();
        let far = Duration::from_secs(i64::MAX as u64);
        let time = ServerTime::read(None, sent, SystemTime::UNIX_EPOCH);
        let never = SystemTime::UNIX_EPOCH.checked_add(far);
        assert!(never.is_none_or(|never| time.when(never) >= sent));
    }

    #[test]
    fn without_a_date_this_machines_clock_must_do() {
        let sent = clock::now();
        for date in [None, Some("yesterday")] {
            let time = ServerTime::read(date, sent, after(10));
            assert_eq!(time.when(after(60)), sent + Duration::from_secs(50));
        }
    }
}
