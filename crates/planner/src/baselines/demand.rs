//! How much was asked for lately.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

/// Counts the requests of the lead time that ends now: those in `[now − lead, now)`.
#[derive(Debug, Clone)]
pub struct TrailingDemand {
    lead: Duration,
    times: VecDeque<Timestamp>,
}

impl TrailingDemand {
    /// Counts over `lead`.
    pub fn new(lead: Duration) -> Self {
        Self {
            lead,
            times: VecDeque::new(),
        }
    }

    /// A request came; times ascend.
    pub fn observe(&mut self, at: Timestamp) {
        self.times.push_back(at);
    }

    /// The requests in `[now − lead, now)`, all of which have been observed.
    pub fn at(&mut self, now: Timestamp) -> u32 {
        let since = now - self.lead;
        while self.times.front().is_some_and(|&at| at < since) {
            self.times.pop_front();
        }
        self.times.len() as u32
    }
}
