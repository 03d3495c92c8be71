//! How wrong forecasts of the lead-time demand have been.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

use super::TrailingDemand;

/// Compares each forecast with what came, once its lead time has passed.
#[derive(Debug, Clone)]
pub(crate) struct ForecastErrors {
    lead: Duration,
    demand: TrailingDemand,
    pending: VecDeque<(Timestamp, f64)>,
}

impl ForecastErrors {
    /// For forecasts of the demand over `lead`.
    pub(crate) fn new(lead: Duration) -> Self {
        Self {
            lead,
            demand: TrailingDemand::new(lead),
            pending: VecDeque::new(),
        }
    }

    /// A request came.
    pub(crate) fn observe(&mut self, at: Timestamp) {
        self.demand.observe(at);
    }

    /// At `now` the demand of the next lead time is expected to be `forecast`.
    pub(crate) fn expect(&mut self, now: Timestamp, forecast: f64) {
        self.pending.push_back((now, forecast));
    }

    /// What came less what was expected, for the newest forecast whose lead time has passed.
    ///
    /// The lead time must be a whole number of ticks for the comparison to be exact; otherwise the
    /// demand of the lead time that ends at the first tick after it is taken.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Option<f64> {
        let came = f64::from(self.demand.at(now));
        let mut error = None;
        while let Some(&(made, forecast)) = self.pending.front() {
            if made + self.lead > now {
                break;
            }
            self.pending.pop_front();
            error = Some(came - forecast);
        }
        error
    }
}
