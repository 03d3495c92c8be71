//! The policy for instances that are used again.

use crate::backtest::{
    PoolTrace,
    curve::{Family, PoolSchedule},
};

/// Tail percentiles in thousandths: in steps of one percent, then finer.
const TAILS: [u32; 60] = {
    let mut tails = [0; 60];
    let mut number = 0;
    while number < 60 {
        tails[number] = match number {
            0..50 => 500 + 10 * number as u32,
            later => 990 + later as u32 - 49,
        };
        number += 1;
    }
    tails
};

/// Hybrid histogram; the parameter is the tail percentile.
pub(crate) struct HybridHistogramFamily;

impl HybridHistogramFamily {
    /// Whether every request says how long it holds its instance.
    pub(crate) fn is_defined(pool: &PoolTrace) -> bool {
        pool.holds_are_known()
    }

    fn tail(number: u32) -> f64 {
        f64::from(TAILS[(number as usize).min(TAILS.len() - 1)]) / 1e3
    }
}

impl Family for HybridHistogramFamily {
    fn largest(&self) -> u32 {
        TAILS.len() as u32 - 1
    }

    fn plan(&self, number: u32) -> PoolSchedule {
        PoolSchedule::Reused {
            tail: Self::tail(number),
        }
    }

    fn describe(&self, number: u32) -> String {
        format!("tail percentile {:.1}", Self::tail(number) * 1e2)
    }
}
