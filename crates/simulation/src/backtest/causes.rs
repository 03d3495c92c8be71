//! Why a request waited, from what the pool held when it came.

use foreshadow_planner::{MissCause, Outcome};

use super::{PoolTrace, Setting, fleet::Claim};

/// Names the cause of each wait of one replica, in order of time.
#[derive(Debug, Clone)]
pub(crate) struct Causes {
    startup_ms: i64,
    /// The first request in the start-up time before the last one asked about.
    first: usize,
}

impl Causes {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self {
            startup_ms: setting.startup().typical().as_millis() as i64,
            first: 0,
        }
    }

    /// Why request `index` waits, which found the pool at `target`.
    ///
    /// Each of the requests in the last start-up time took one instance: if the target would have
    /// covered them, had it been in force for so long, its instances only came late.
    pub(crate) fn of(
        &mut self,
        pool: &PoolTrace,
        index: usize,
        claim: &Claim,
        target: u32,
    ) -> MissCause {
        if let Some(trouble) = claim.trouble {
            return trouble;
        }
        let times = pool.demand_until(index);
        let since_ms = times.last().map_or(0, |&at| at - self.startup_ms);
        self.first += times[self.first..]
            .iter()
            .take_while(|&&at| at <= since_ms)
            .count();
        let covered = times.len() - self.first <= target as usize;
        if claim.outcome == Outcome::Join && covered {
            MissCause::Late
        } else {
            MissCause::UnderForecast
        }
    }
}
