//! Online conformal calibration of quantiles.
//!
//! For each group and distance ahead, the scores of recent forecasts (value − quantile, in units of
//! the forecast's own spread, as in conformalized quantile regression: Romano, Patterson and Candès,
//! 2019) tell how far each quantile has to move; the level at which the scores are read is itself
//! adapted by what was covered (adaptive conformal inference: Gibbs and Candès, 2021), so that
//! coverage returns after a shift. A score enters only when its value is known.

mod cell;

use std::{cmp::Ordering, collections::BTreeMap};

use crate::QuantileForecast;
use cell::Cell;

/// The most forecast steps that wait for their value; further ones are not scored.
const MAX_PENDING: usize = 1 << 20;

/// Calibrates forecasts of many series, by group. Bins are counted from any common origin.
#[derive(Debug, Clone)]
pub struct Calibrator<G> {
    levels: Vec<f64>,
    cells: BTreeMap<(G, u32), Cell>,
    pending: BTreeMap<Due, Pending<G>>,
    now: u64,
}

/// When and of which series a value will be known, and how far ahead it was forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    bin: u64,
    series: u64,
    ahead: u32,
}

#[derive(Debug, Clone)]
struct Pending<G> {
    group: G,
    spread: f32,
    raw: Vec<f32>,
    calibrated: Vec<f32>,
}

impl<G: Ord + Clone> Calibrator<G> {
    /// For forecasts at these ascending levels.
    pub fn new(levels: &[f64]) -> Self {
        Self {
            levels: levels.to_vec(),
            cells: BTreeMap::new(),
            pending: BTreeMap::new(),
            now: 0,
        }
    }

    /// Moves the quantiles of a forecast by what is known of its group; unchanged while little is
    /// known, and where the forecast has other levels. Quantiles stay sorted, and those of what was never
    /// negative stay so.
    pub fn calibrate(&self, group: &G, raw: &QuantileForecast) -> QuantileForecast {
        if raw.levels() != self.levels {
            return raw.clone();
        }
        let mut values = Vec::with_capacity(raw.horizon() * self.levels.len());
        for step in 0..raw.horizon() {
            let quantiles = raw.step(step);
            let cell = self.cells.get(&(group.clone(), distance(step)));
            let spread = spread(raw, step);
            values.extend(quantiles.iter().enumerate().map(|(level, &quantile)| {
                let shift = cell.map_or(0.0, |cell| cell.shift(level));
                let moved = quantile + shift * spread;
                if moved.is_finite() { moved } else { quantile }
            }));
        }
        if (0..raw.horizon()).all(|step| raw.step(step).iter().all(|value| *value >= 0.0)) {
            for value in &mut values {
                *value = value.max(0.0);
            }
        }
        QuantileForecast::new(&self.levels, values)
    }

    /// Notes a forecast that was made from bin `origin` on, so that it is scored when its values are
    /// known. Of the steps, those at a power of two stand for the ones up to the next.
    pub fn issued(
        &mut self,
        group: &G,
        series: u64,
        origin: u64,
        raw: &QuantileForecast,
        calibrated: &QuantileForecast,
    ) {
        let fitting = raw.levels() == self.levels && calibrated.levels() == self.levels;
        if !fitting || !raw.is_finite() || raw.horizon() != calibrated.horizon() {
            return;
        }
        let steps = (0..raw.horizon()).filter(|step| (step + 1).is_power_of_two());
        for step in steps {
            let bin = origin.saturating_add(step as u64);
            if bin < self.now || self.pending.len() >= MAX_PENDING {
                continue;
            }
            let due = Due {
                bin,
                series,
                ahead: distance(step),
            };
            let pending = Pending {
                group: group.clone(),
                spread: spread(raw, step),
                raw: raw.step(step).to_vec(),
                calibrated: calibrated.step(step).to_vec(),
            };
            self.pending.insert(due, pending);
        }
    }

    /// Notes the value of one bin, which settles the forecasts of it.
    pub fn observe(&mut self, series: u64, bin: u64, value: f32) {
        let due = |ahead| Due { bin, series, ahead };
        let settled: Vec<_> = self
            .pending
            .range(due(0)..=due(u32::MAX))
            .map(|(&due, _)| due)
            .collect();
        for due in settled {
            let Some(pending) = self.pending.remove(&due) else {
                continue;
            };
            if !value.is_finite() || pending.spread <= 0.0 || exact(&pending.raw, value) {
                continue;
            }
            let levels = self.levels.len();
            let cell = self
                .cells
                .entry((pending.group, due.ahead))
                .or_insert_with(|| Cell::new(levels));
            let scores = pending.raw.iter().map(|raw| (value - raw) / pending.spread);
            let sides = pending.calibrated.iter().map(|quantile| {
                if tie(value, *quantile) {
                    Ordering::Equal
                } else {
                    value.total_cmp(quantile)
                }
            });
            cell.add(scores, sides, series ^ bin.rotate_left(32));
        }
    }

    /// Closes all bins before `bin`: what was observed of them now moves later forecasts, and
    /// forecasts of them that are still without a value are forgotten.
    pub fn advance(&mut self, bin: u64) {
        self.now = self.now.max(bin);
        let first = Due {
            bin: self.now,
            series: 0,
            ahead: 0,
        };
        self.pending = self.pending.split_off(&first);
        for cell in self.cells.values_mut() {
            cell.close(&self.levels);
        }
    }

    /// Forecast steps that wait for their value.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// Steps 0, 1, 2–3, 4–7, … behave alike enough to share their scores.
fn distance(step: usize) -> u32 {
    (step + 1).ilog2()
}

/// Equal but for rounding.
fn tie(value: f32, quantile: f32) -> bool {
    (value - quantile).abs() <= 1e-6 * value.abs().max(1.0)
}

/// Whether all quantiles lay on the value: a series that stands still. That says nothing of how wide
/// the forecasts of others in its group should be.
fn exact(quantiles: &[f32], value: f32) -> bool {
    quantiles.iter().all(|&quantile| tie(value, quantile))
}

/// The unit of scores: the width between the 0.1 and 0.9 quantiles, and a little of the median, so
/// that a forecast without width can be widened too.
fn spread(forecast: &QuantileForecast, step: usize) -> f32 {
    let width = forecast.quantile(step, 0.9) - forecast.quantile(step, 0.1);
    width + 0.01 * forecast.quantile(step, 0.5).abs()
}

#[cfg(test)]
mod tests;
