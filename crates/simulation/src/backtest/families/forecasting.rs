//! Policies that forecast: gathered once over the log, then asked for any parameter.

use foreshadow_planner::baselines::{
    DemandMoments, SSA_WEIGHTS, SampledDemand, SeasonalDemand, SizesByWeight, ssa_target,
};
use foreshadow_types::Timestamp;

use super::simple::{LARGEST_Z_NUMBER, targets_of, z};
use crate::backtest::{
    PoolTrace, Setting,
    curve::{Family, PoolSchedule},
};

/// Shows the times of the demand before each tick to `observe`, then the tick to `at`.
fn at_ticks<S>(
    pool: &PoolTrace,
    setting: &Setting,
    state: &mut S,
    observe: impl Fn(&mut S, Timestamp),
    mut at: impl FnMut(&mut S, Timestamp),
) {
    let mut times = pool.demand_ms().walk();
    for tick_ms in setting.ticks_ms() {
        while let Some(time_ms) = times.peek().filter(|&time_ms| time_ms < tick_ms) {
            times.next();
            observe(state, Timestamp::from_millis(time_ms));
        }
        at(state, Timestamp::from_millis(tick_ms));
    }
}

/// Holt-Winters; the parameter is `z`.
pub(crate) struct HoltWintersFamily {
    moments: Vec<DemandMoments>,
}

impl HoltWintersFamily {
    pub(crate) fn new(pool: &PoolTrace, setting: &Setting) -> Self {
        let mut demand = SeasonalDemand::new(setting.lead_time(), setting.tick());
        let mut moments = Vec::new();
        at_ticks(
            pool,
            setting,
            &mut demand,
            SeasonalDemand::observe,
            |demand, now| moments.push(demand.at(now)),
        );
        Self { moments }
    }
}

impl Family for HoltWintersFamily {
    fn largest(&self) -> u32 {
        LARGEST_Z_NUMBER
    }

    fn plan(&self, number: u32) -> PoolSchedule {
        targets_of(&self.moments, number)
    }

    fn describe(&self, number: u32) -> String {
        format!("z {:.2}", z(number))
    }
}

/// Intelligent Pooling; the parameter is the weight of waiting.
pub(crate) struct SsaFamily {
    blocks: Vec<SizesByWeight>,
    /// The block of each tick.
    block_of_tick: Vec<u32>,
}

impl SsaFamily {
    pub(crate) fn new(pool: &PoolTrace, setting: &Setting) -> Self {
        let mut demand = SampledDemand::new(setting.lead_time());
        let mut blocks = Vec::new();
        let mut block_of_tick = Vec::new();
        let mut sized = None;
        at_ticks(
            pool,
            setting,
            &mut demand,
            SampledDemand::observe,
            |demand, now| {
                let sizes = *demand.at(now);
                if sized != Some(demand.blocks()) {
                    sized = Some(demand.blocks());
                    blocks.push(sizes);
                }
                block_of_tick.push(blocks.len() as u32 - 1);
            },
        );
        Self {
            blocks,
            block_of_tick,
        }
    }
}

impl Family for SsaFamily {
    fn largest(&self) -> u32 {
        SSA_WEIGHTS as u32 - 1
    }

    fn plan(&self, number: u32) -> PoolSchedule {
        let size = |&block: &u32| self.blocks[block as usize][number as usize];
        PoolSchedule::Targets(
            self.block_of_tick
                .iter()
                .map(size)
                .map(ssa_target)
                .collect(),
        )
    }

    fn describe(&self, number: u32) -> String {
        format!(
            "weight of waiting {:.5}",
            SampledDemand::weight(number as usize)
        )
    }
}
