//! How many instances plans may still remove in the hour.

use foreshadow_types::Timestamp;

/// An allowance that each instance removed draws on and that is made good evenly over an hour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Churn {
    /// Drawn by plans before the latest moment, less what has been made good.
    drawn: f64,
    /// The moment of the latest plan.
    latest: Option<Latest>,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    at: Timestamp,
    /// What was held when it was first planned at that moment.
    held: u32,
    /// What was left of it by the plan in force.
    target: u32,
}

impl Churn {
    /// The lowest target of a plan at `now` where `limit` instances may be removed in an hour: the same
    /// for all plans of one moment, whatever those before have removed already.
    pub(crate) fn lowest(&mut self, now: Timestamp, held: u32, limit: u32) -> u32 {
        let limit_an_hour = f64::from(limit);
        if let Some(last) = self.latest.filter(|last| last.at < now) {
            let made_good = limit_an_hour * now.since(last.at).as_secs_f64() / 3600.0;
            let drawn = self.drawn + f64::from(last.held.saturating_sub(last.target));
            self.drawn = (drawn - made_good).max(0.0);
            self.latest = None;
        }
        let first = Latest {
            at: now,
            held,
            target: held,
        };
        let held = self.latest.get_or_insert(first).held;
        // Rounding must not keep back one that has been made good.
        let left = (limit_an_hour - self.drawn + 1e-9).max(0.0) as u32;
        held.saturating_sub(left)
    }

    /// The target that the plan at the moment last asked about has.
    pub(crate) fn plan(&mut self, target: u32) {
        if let Some(latest) = &mut self.latest {
            latest.target = target;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_made_good_within_the_hour() {
        let at = |minutes: i64| Timestamp::from_millis(60_000 * minutes);
        let mut churn = Churn::default();
        assert_eq!(churn.lowest(at(0), 20, 6), 14);
        churn.plan(14);
        // An override has it planned anew at the same moment, when those six have gone.
        assert_eq!(churn.lowest(at(0), 14, 6), 14);
        churn.plan(14);
        assert_eq!(churn.lowest(at(9), 14, 6), 14);
        assert_eq!(churn.lowest(at(10), 14, 6), 13);
        churn.plan(13);
        assert_eq!(churn.lowest(at(30), 13, 6), 11);
        assert_eq!(churn.lowest(at(600), 13, 6), 7, "no more than the limit");
        assert_eq!(churn.lowest(at(601), 13, u32::MAX), 0);
    }
}
