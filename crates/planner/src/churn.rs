//! How many instances plans may still remove in the hour.

use foreshadow_types::Timestamp;

/// An allowance that each instance removed draws on and that is made good evenly over an hour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Churn {
    /// Drawn by plans before the latest, less what has been made good.
    drawn: f64,
    /// What the latest plan draws.
    latest: u32,
    at: Option<Timestamp>,
}

impl Churn {
    /// What a plan at `now` may remove where `limit` may be removed in an hour; the same for the same
    /// moment, whatever was planned at it before.
    pub(crate) fn left(&mut self, now: Timestamp, limit: u32) -> u32 {
        let limit_an_hour = f64::from(limit);
        let last = *self.at.get_or_insert(now);
        if now > last {
            let made_good = limit_an_hour * now.since(last).as_secs_f64() / 3600.0;
            let drawn = self.drawn + f64::from(std::mem::take(&mut self.latest));
            self.drawn = (drawn - made_good).max(0.0);
            self.at = Some(now);
        }
        // Rounding must not keep back one that has been made good.
        (limit_an_hour - self.drawn + 1e-9).max(0.0) as u32
    }

    /// The plan at the moment last asked about removes so many.
    pub(crate) fn plan(&mut self, removed: u32) {
        self.latest = removed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_made_good_within_the_hour() {
        let at = |minutes: i64| Timestamp::from_millis(60_000 * minutes);
        let mut churn = Churn::default();
        assert_eq!(churn.left(at(0), 6), 6);
        churn.plan(6);
        assert_eq!(churn.left(at(0), 6), 6, "the same moment");
        assert_eq!(churn.left(at(9), 6), 0);
        assert_eq!(churn.left(at(10), 6), 1);
        churn.plan(1);
        assert_eq!(churn.left(at(30), 6), 2);
        assert_eq!(churn.left(at(600), 6), 6, "no more than the limit");
        assert_eq!(churn.left(at(600), u32::MAX), u32::MAX);
    }
}
