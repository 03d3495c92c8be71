//! Requests counted into bins of time, for the policies that forecast a series.

use std::time::Duration;

use foreshadow_types::Timestamp;

/// The width of bins where the lead time is no longer.
const USUAL_BIN: Duration = Duration::from_mins(5);

/// The season that is looked for.
const SEASON: Duration = Duration::from_hours(24);

/// Counts requests in bins that follow each other from the first tick.
#[derive(Debug, Clone)]
pub(crate) struct BinCounter {
    width: Duration,
    /// The start of the current bin; none before the first tick.
    start: Option<Timestamp>,
    count: u32,
}

impl BinCounter {
    /// Bins at least as wide as `lead`, so that a lead time touches two bins at most.
    pub(crate) fn for_lead(lead: Duration) -> Self {
        Self {
            width: USUAL_BIN.max(lead),
            start: None,
            count: 0,
        }
    }

    /// The width of a bin.
    pub(crate) fn width(&self) -> Duration {
        self.width
    }

    /// How many bins make a day.
    pub(crate) fn season(&self) -> usize {
        (SEASON.as_millis() / self.width.as_millis()).max(1) as usize
    }

    /// A request came.
    pub(crate) fn observe(&mut self) {
        self.count += 1;
    }

    /// Moves on to `now` and gives the counts of the bins that have ended since the last call.
    ///
    /// A request is counted in the bin of the tick before it, so bins end at ticks.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Vec<f64> {
        let mut start = *self.start.get_or_insert(now);
        let mut ended = Vec::new();
        while start + self.width <= now {
            ended.push(f64::from(std::mem::take(&mut self.count)));
            start = start + self.width;
        }
        self.start = Some(start);
        ended
    }

    /// Splits the lead time from `now` on over the current bin and those after it: the share of
    /// each bin that it covers, the current bin first.
    pub(crate) fn shares(&self, now: Timestamp, lead: Duration) -> [f64; 3] {
        let elapsed = self.start.map_or(Duration::ZERO, |start| now.since(start));
        let width_s = self.width.as_secs_f64();
        let (since_s, until_s) = (elapsed.as_secs_f64(), (elapsed + lead).as_secs_f64());
        std::array::from_fn(|bin| {
            let (start_s, end_s) = (bin as f64 * width_s, (bin + 1) as f64 * width_s);
            (until_s.min(end_s) - since_s.max(start_s)).max(0.0) / width_s
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_time_is_split_over_the_bins_it_touches() {
        let mut bins = BinCounter::for_lead(Duration::from_mins(3));
        let start = Timestamp::from_millis(0);
        assert!(bins.advance(start).is_empty());
        let late = start + Duration::from_mins(4);
        assert!(bins.advance(late).is_empty());
        assert_eq!(bins.shares(late, Duration::from_mins(3)), [0.2, 0.4, 0.0]);
    }

    #[test]
    fn bins_without_requests_are_zero() {
        let mut bins = BinCounter::for_lead(Duration::ZERO);
        bins.advance(Timestamp::from_millis(0));
        bins.observe();
        let ended = bins.advance(Timestamp::from_millis(700_000));
        assert_eq!(ended, [1.0, 0.0]);
        assert_eq!(bins.season(), 288);
    }
}
