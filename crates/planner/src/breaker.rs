//! A circuit breaker on starts that fail.

use foreshadow_types::Timestamp;

use crate::settings::BreakerSettings;

/// Counts failed starts in a row and says when to try again.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    failures: u32,
    open_until: Option<Timestamp>,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            failures: 0,
            open_until: None,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.open_until = None;
    }

    pub(crate) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let Some(beyond) = self.failures.checked_sub(self.settings.failures.max(1)) else {
            return;
        };
        let back_off = self
            .settings
            .back_off
            .saturating_mul(1 << beyond.min(20))
            .min(self.settings.longest);
        self.open_until = Some(now + back_off);
    }

    /// Whether so many starts have failed in a row that it opened, and none has succeeded since.
    pub(crate) fn has_opened(&self) -> bool {
        self.open_until.is_some()
    }

    /// Failures in a row and when starts are tried again, while the breaker is open.
    pub(crate) fn open_at(&self, now: Timestamp) -> Option<(u32, Timestamp)> {
        let until = self.open_until?;
        (now < until).then_some((self.failures, until))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_backs_off_twice_as_long_each_time() {
        let mut breaker = Breaker::new(BreakerSettings {
            failures: 2,
            back_off: Duration::from_secs(10),
            longest: Duration::from_secs(30),
        });
        breaker.failed(at(0));
        assert_eq!(breaker.open_at(at(0)), None);
        breaker.failed(at(0));
        assert_eq!(breaker.open_at(at(9)), Some((2, at(10))));
        assert_eq!(breaker.open_at(at(10)), None);
        assert!(breaker.has_opened(), "until a start succeeds");
        breaker.failed(at(10));
        assert_eq!(breaker.open_at(at(29)), Some((3, at(30))));
        breaker.failed(at(100));
        assert_eq!(breaker.open_at(at(100)), Some((4, at(130))));
        breaker.succeeded();
        assert_eq!(breaker.open_at(at(100)), None);
        assert!(!breaker.has_opened());
    }
}
