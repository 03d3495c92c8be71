//! Counters become rates.

use std::time::Duration;

use foreshadow_types::Timestamp;

/// A counter that was silent for longer begins anew.
const LONGEST_GAP: Duration = Duration::from_mins(10);

/// The rate per second between two samples, and whether the counter began again at zero in between;
/// `None` across a gap that says too little.
pub(crate) fn rate(before: (Timestamp, f64), after: (Timestamp, f64)) -> Option<(f64, bool)> {
    let gap = after.0.since(before.0);
    if gap.is_zero() || gap > LONGEST_GAP {
        return None;
    }
    let reset = after.1 < before.1;
    // After a reset all that the counter shows has come since.
    let increase = if reset { after.1 } else { after.1 - before.1 };
    Some((increase / gap.as_secs_f64(), reset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_increase_over_the_time_and_resets_begin_at_zero() {
        let at = Timestamp::from_millis;
        assert_eq!(rate((at(0), 10.0), (at(15_000), 40.0)), Some((2.0, false)));
        assert_eq!(rate((at(0), 100.0), (at(10_000), 5.0)), Some((0.5, true)));
        assert_eq!(rate((at(0), 1.0), (at(0), 2.0)), None);
        assert_eq!(rate((at(0), 1.0), (at(3_600_000), 2.0)), None);
    }
}
