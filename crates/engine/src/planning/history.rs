//! A pool's past as it is shown: what was asked of it.

use std::time::Duration;

use foreshadow_types::Timestamp;

use super::Planning;
use crate::{
    error::EngineError,
    views::{PoolHistory, PoolHistoryRequest},
};

/// The longest span that is shown.
const LONGEST: Duration = Duration::from_hours(24 * 366);

impl Planning {
    /// What was asked of a pool over a span of the past; what was planned for it is in the log of plans.
    pub(super) fn history(&self, request: &PoolHistoryRequest) -> Result<PoolHistory, EngineError> {
        let Some(pool) = self.pools.get(&request.pool) else {
            return Err(EngineError::UnknownPool(request.pool.clone()));
        };
        let (from, step, steps) = steps_of(request, self.bin)?;
        Ok(PoolHistory {
            pool: request.pool.clone(),
            from,
            step,
            demand: pool.demand(from, step, steps),
            plans: Vec::new(),
            trade_off: pool.trade_off(),
            known_from: pool.known_from(),
        })
    }
}

/// The steps of a span: as many bins each as keep them within what was asked for.
fn steps_of(
    request: &PoolHistoryRequest,
    bin: Duration,
) -> Result<(Timestamp, Duration, usize), EngineError> {
    let span = request.to.since(request.from);
    if span.is_zero() || span > LONGEST {
        return Err(EngineError::Argument {
            field: "from",
            value: request.from.to_string(),
            mend: format!("give a time before {}, at most a year", request.to),
        });
    }
    let bin_ms = bin.as_millis().max(1);
    let most = u128::from(request.max_steps.max(1));
    let bins = span.as_millis().div_ceil(bin_ms).div_ceil(most).max(1);
    let step = Duration::from_millis((bin_ms * bins) as u64);
    let from = request.from.floor_to(step);
    let span = request.to.since(from).as_millis();
    Ok((from, step, span.div_ceil(bin_ms * bins) as usize))
}

#[cfg(test)]
mod tests {
    use foreshadow_types::PoolName;

    use super::*;

    fn asked(from_s: i64, to_s: i64, max_steps: u32) -> PoolHistoryRequest {
        PoolHistoryRequest {
            pool: PoolName::new("web").unwrap(),
            from: Timestamp::from_millis(from_s * 1_000),
            to: Timestamp::from_millis(to_s * 1_000),
            max_steps,
        }
    }

    #[test]
    fn steps_are_whole_bins_and_no_more_than_asked_for_but_one_for_the_rest() {
        let bin = Duration::from_mins(1);
        let of = |from, to, most| steps_of(&asked(from, to, most), bin).unwrap();
        let at = |second: i64| Timestamp::from_millis(second * 1_000);
        assert_eq!(of(0, 600, 100), (at(0), bin, 10));
        assert_eq!(of(30, 610, 100), (at(0), bin, 11));
        assert_eq!(of(0, 6_000, 10), (at(0), bin * 10, 10));
        assert!(steps_of(&asked(600, 600, 10), bin).is_err());
        assert!(steps_of(&asked(0, 400 * 86_400, 10), bin).is_err());
    }
}
