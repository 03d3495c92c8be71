//! When a lease is renewed.

use std::time::Duration;

use crate::retry;

/// A lease is not renewed more often than this, however short it is.
const SHORTEST: Duration = Duration::from_millis(100);
/// The share of what is left of a lease after which it is renewed, and how far chance moves it.
const DUE: f64 = 0.3;
const SPREAD: f64 = 0.1;
/// What an attempt is given at the least, while the lease lasts.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// How long to wait before a lease is renewed of which so much is `left`: about a third of it, so that
/// two renewals may fail before it ends. `chance` (0 to 1) spreads leases that began together.
pub(crate) fn due_in(left: Duration, chance: f64) -> Duration {
    within(left, left.mul_f64(DUE + SPREAD * chance))
}

/// A pause that is not too short, and not past the end of the lease.
fn within(left: Duration, pause: Duration) -> Duration {
    pause.max(SHORTEST).min(left)
}

/// How long an attempt at a renewal may take: one that hangs leaves time for others, and the last ends
/// with the lease, so that its loss is told then.
pub(crate) fn attempt_for(left: Duration) -> Duration {
    (left / 2).max(SHORTEST_ATTEMPT).min(left)
}

/// How long to wait after a renewal that did not get through, of which there were so many before: as
/// between calls, but never past the half of what is left, whatever delay the server asks for.
pub(crate) fn again_in(
    failures: u32,
    asked: Option<Duration>,
    left: Duration,
    chance: f64,
) -> Duration {
    let pause = retry::pause(failures, asked, chance);
    within(left, pause.min(left / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_lease_is_renewed_after_about_a_third_of_it() {
        assert_eq!(due_in(HOUR, 0.0), Duration::from_mins(18));
        assert_eq!(due_in(HOUR, 1.0), Duration::from_mins(24));
    }

    #[test]
    fn a_short_lease_does_not_make_a_busy_loop() {
        let left = 2 * SHORTEST;
        assert_eq!(due_in(left, 0.5), SHORTEST);
        assert_eq!(again_in(0, None, left, 0.5), SHORTEST);
    }

    #[test]
    fn nothing_is_waited_for_past_the_end_of_a_lease() {
        for left in [Duration::ZERO, SHORTEST / 2, SHORTEST] {
            assert_eq!(due_in(left, 0.5), left);
            assert_eq!(again_in(9, Some(HOUR), left, 0.5), left);
            assert_eq!(attempt_for(left), left);
        }
    }

    #[test]
    fn a_renewal_that_hangs_leaves_time_for_another() {
        assert_eq!(attempt_for(HOUR), HOUR / 2);
        assert_eq!(attempt_for(SHORTEST_ATTEMPT * 3 / 2), SHORTEST_ATTEMPT);
    }

    #[test]
    fn a_failed_renewal_is_tried_again_while_there_is_time() {
        let second = Duration::from_secs(1);
        assert_eq!(again_in(0, None, HOUR, 0.0), Duration::from_millis(100));
        assert_eq!(again_in(9, None, second, 0.0), second / 2);
        assert_eq!(again_in(0, Some(HOUR), second, 0.0), second / 2);
        let asked = Duration::from_secs(3);
        assert_eq!(again_in(0, Some(asked), HOUR, 0.0), asked);
    }
}
