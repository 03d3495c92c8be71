//! Whether and when a call is made again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause that the server has not asked for.
const LONGEST: Duration = Duration::from_secs(10);
/// Doublings after which a pause is the longest anyway.
const DOUBLINGS: u32 = 10;
/// How much later than asked a client comes back at the most, as a share of the delay: those that were
/// refused together do not return together.
const SPREAD: f64 = 0.1;

/// The pause after so many failures (0 for the first) that the server said nothing about: it doubles,
/// up to ten seconds, and is cut by up to a half by `chance` (0 to 1).
pub(crate) fn backoff(failures: u32, chance: f64) -> Duration {
    let doubled = FIRST * 2_u32.pow(failures.min(DOUBLINGS));
    doubled.min(LONGEST).mul_f64(1.0 - chance / 2.0)
}

/// The pause after so many failures; never shorter than the delay that the server asked for.
pub(crate) fn pause(failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let own = backoff(failures, chance);
    asked.map_or(own, |delay| delay.mul_f64(1.0 + SPREAD * chance).max(own))
}

/// The pause before a call is made again within the time that is `left`; none if it would be over.
pub(crate) fn next(
    failures: u32,
    asked: Option<Duration>,
    left: Duration,
    chance: f64,
) -> Option<Duration> {
    let pause = pause(failures, asked, chance);
    (pause < left).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let pauses: Vec<u128> = (0..9).map(|n| backoff(n, 0.0).as_millis()).collect();
        assert_eq!(
            pauses,
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn chance_takes_up_to_half_of_a_pause() {
        assert_eq!(backoff(3, 1.0), Duration::from_millis(400));
        assert_eq!(backoff(3, 0.5), Duration::from_millis(600));
    }

    #[test]
    fn the_delay_that_the_server_asks_for_is_never_cut_short() {
        let asked = Duration::from_secs(5);
        for chance in [0.0, 0.3, 0.999] {
            let pause = next(0, Some(asked), MINUTE, chance).unwrap();
            assert!(pause >= asked && pause <= asked.mul_f64(1.1), "{pause:?}");
        }
    }

    #[test]
    fn a_short_delay_does_not_undo_the_backoff() {
        let asked = Some(Duration::from_millis(1));
        assert_eq!(next(5, asked, MINUTE, 0.0), Some(backoff(5, 0.0)));
    }

    #[test]
    fn nothing_is_tried_after_the_time_is_over() {
        assert_eq!(next(0, Some(MINUTE), MINUTE, 0.0), None);
        assert_eq!(next(0, None, Duration::ZERO, 0.9), None);
        assert!(next(0, None, Duration::from_millis(101), 0.0).is_some());
    }
}
