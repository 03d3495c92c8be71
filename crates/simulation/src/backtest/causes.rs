//! Why a request waited, from what the pool held when it came.

use foreshadow_planner::{MissCause, Outcome};

use super::{PoolTrace, Setting, fleet::Claim};

/// Names the cause of each wait of one replica, in order of time.
#[derive(Debug, Clone)]
pub(crate) struct Causes {
    startup_ms: i64,
    /// The first request in the start-up time before the last one asked about.
    first: usize,
    /// Requests up to the last one asked about, and those of them that are demand.
    seen: usize,
    demand: usize,
}

impl Causes {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self {
            startup_ms: setting.startup().typical().as_millis() as i64,
            first: 0,
            seen: 0,
            demand: 0,
        }
    }

    /// Why request `index` waits, which found the pool at `target`.
    ///
    /// Each of the demand in the last start-up time took one instance: if the target would have
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
        let since_ms = pool.times_ms().at(index) - self.startup_ms;
        let (demand, until) = (pool.demand_ms(), self.demand_until(pool, index));
        while self.first < until && demand.at(self.first) <= since_ms {
            self.first += 1;
        }
        let covered = until - self.first <= target as usize;
        if claim.outcome == Outcome::Join && covered {
            MissCause::Late
        } else {
            MissCause::UnderForecast
        }
    }

    /// How much of the demand there is up to request `index`, which is after the last one asked about.
    fn demand_until(&mut self, pool: &PoolTrace, index: usize) -> usize {
        for request in self.seen..=index {
            self.demand += usize::from(!pool.is_merged(request));
        }
        self.seen = index + 1;
        self.demand
    }
}
