//! How wrong forecasts of the lead-time demand have been.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

/// Compares each forecast with what came in the very lead time that it was made for, once that has
/// passed, however ticks divide it.
#[derive(Debug, Clone)]
pub(crate) struct ForecastErrors {
    lead: Duration,
    /// When requests came, from the oldest forecast on whose lead time has not passed.
    times: VecDeque<Timestamp>,
    pending: VecDeque<(Timestamp, f64)>,
}

impl ForecastErrors {
    /// For forecasts of the demand over `lead`.
    pub(crate) fn new(lead: Duration) -> Self {
        Self {
            lead,
            times: VecDeque::new(),
            pending: VecDeque::new(),
        }
    }

    /// A request came; times ascend.
    pub(crate) fn observe(&mut self, at: Timestamp) {
        if !self.pending.is_empty() {
            self.times.push_back(at);
        }
    }

    /// At `now` the demand of the next lead time, `[now, now + lead)`, is expected to be `forecast`.
    pub(crate) fn expect(&mut self, now: Timestamp, forecast: f64) {
        self.pending.push_back((now, forecast));
    }

    /// What came less what was expected, for the newest forecast whose lead time has passed.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Option<f64> {
        let mut error = None;
        while let Some(&(made, forecast)) = self.pending.front() {
            if made + self.lead > now {
                break;
            }
            self.pending.pop_front();
            self.forget_before(made);
            let ended = made + self.lead;
            let came = self.times.partition_point(|&at| at < ended);
            error = Some(came as f64 - forecast);
        }
        match self.pending.front() {
            Some(&(made, _)) => self.forget_before(made),
            None => self.times.clear(),
        }
        error
    }

    fn forget_before(&mut self, made: Timestamp) {
        while self.times.front().is_some_and(|&at| at < made) {
            self.times.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000 * seconds)
    }

    /// Requests at these seconds, a tick each minute at which `1000 + tick` is expected; the errors by tick.
    fn errors(lead_s: u64, requests: &[i64]) -> Vec<Option<f64>> {
        let mut errors = ForecastErrors::new(Duration::from_secs(lead_s));
        let mut requests = requests.iter().peekable();
        let mut settled = Vec::new();
        for tick in 0..6 {
            while let Some(&&request) = requests.peek().filter(|&&&second| second < 60 * tick) {
                errors.observe(at(request));
                requests.next();
            }
            settled.push(errors.settle(at(60 * tick)));
            errors.expect(at(60 * tick), 1_000.0 + tick as f64);
        }
        settled
    }

    #[test]
    fn a_forecast_is_compared_with_its_own_lead_time_where_that_is_no_whole_number_of_ticks() {
        // The forecast made at 0 is for 0 to 70 s, the next one for 60 to 130 s.
        let settled = errors(70, &[0, 10, 59, 65, 70, 100, 119, 129, 130]);
        assert_eq!(settled[..2], [None, None]);
        assert_eq!(settled[2], Some(4.0 - 1_000.0), "0, 10, 59 and 65 s");
        assert_eq!(
            settled[3],
            Some(5.0 - 1_001.0),
            "65, 70, 100, 119 and 129 s"
        );
        assert_eq!(settled[4], Some(2.0 - 1_002.0), "129 and 130 s");
        assert_eq!(settled[5], Some(0.0 - 1_003.0));
    }

    #[test]
    fn a_lead_time_of_whole_ticks_is_settled_at_its_last() {
        let settled = errors(120, &[0, 59, 60, 119, 120, 200]);
        assert_eq!(settled[2], Some(4.0 - 1_000.0));
        assert_eq!(settled[3], Some(3.0 - 1_001.0));
        assert_eq!(settled[4], Some(2.0 - 1_002.0));
    }
}
