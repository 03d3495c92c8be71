//! Holt-Winters: level, trend and a daily season, smoothed exponentially.
//!
//! The additive method (Winters, *Forecasting Sales by Exponentially Weighted Moving Averages*,
//! Management Science 6:3, 1960; Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*,
//! 3rd ed., §8.3) on counts in bins:
//! level `l = α(y − s₋ₘ) + (1 − α)(l₋₁ + b₋₁)`, trend `b = β(l − l₋₁) + (1 − β)b₋₁`, season
//! `s = γ(y − l₋₁ − b₋₁) + (1 − γ)s₋ₘ`. Of a grid of (α, β, γ) the one with the least recent squared
//! one-step error forecasts. The target is `⌈forecast + z · error⌉` of the demand over the lead time.

use std::time::Duration;

use foreshadow_types::Timestamp;

use super::{DemandMoments, bins::BinCounter, forecast_error::ForecastErrors};
use crate::{Arrival, Inventory, Outcome, TargetPolicy};

const ALPHAS: [f64; 4] = [0.05, 0.15, 0.4, 0.8];
const BETAS: [f64; 2] = [0.0, 0.02];
const GAMMAS: [f64; 3] = [0.0, 0.1, 0.3];

/// What a squared error of the last bin counts for, beside the mean of those before.
const ERROR_WEIGHT: f64 = 1.0 / 144.0;

/// The same for errors of the lead time, which come at each tick.
const LEAD_ERROR_MEMORY: Duration = Duration::from_hours(12);

/// One additive model.
#[derive(Debug, Clone)]
struct Smoother {
    alpha: f64,
    beta: f64,
    gamma: f64,
    level: f64,
    trend: f64,
    season: Vec<f64>,
    /// Bins seen.
    seen: usize,
    squared_error: f64,
}

impl Smoother {
    fn new((alpha, beta, gamma): (f64, f64, f64), season: usize) -> Self {
        Self {
            alpha,
            beta,
            gamma,
            level: 0.0,
            trend: 0.0,
            season: vec![0.0; season],
            seen: 0,
            squared_error: 0.0,
        }
    }

    /// The count of the bin `ahead` bins after the last one seen; the next one is 1.
    fn forecast(&self, ahead: usize) -> f64 {
        let season = self.season[(self.seen + ahead - 1) % self.season.len()];
        (self.level + ahead as f64 * self.trend + season).max(0.0)
    }

    fn push(&mut self, count: f64) {
        if self.seen == 0 {
            self.level = count;
        }
        let error = count - self.forecast(1);
        let weight = ERROR_WEIGHT.max(1.0 / (self.seen + 1) as f64);
        self.squared_error += weight * (error * error - self.squared_error);
        let expected_level = self.level + self.trend;
        let slot = self.seen % self.season.len();
        let season = self.season[slot];
        let level = self.alpha * (count - season) + (1.0 - self.alpha) * expected_level;
        self.trend = self.beta * (level - self.level) + (1.0 - self.beta) * self.trend;
        self.season[slot] = self.gamma * (count - expected_level) + (1.0 - self.gamma) * season;
        self.level = level;
        self.seen += 1;
    }
}

/// Forecasts the demand over the lead time, with the error it has lately had.
#[derive(Debug, Clone)]
pub struct SeasonalDemand {
    lead: Duration,
    bins: BinCounter,
    smoothers: Vec<Smoother>,
    errors: ForecastErrors,
    squared_error: f64,
    error_weight: f64,
}

impl SeasonalDemand {
    /// For a lead time and the tick at which it is asked.
    pub fn new(lead: Duration, tick: Duration) -> Self {
        let bins = BinCounter::for_lead(lead);
        let grid = ALPHAS.into_iter().flat_map(|alpha| {
            BETAS
                .into_iter()
                .flat_map(move |beta| GAMMAS.into_iter().map(move |gamma| (alpha, beta, gamma)))
        });
        Self {
            lead,
            smoothers: grid
                .map(|parameters| Smoother::new(parameters, bins.season()))
                .collect(),
            bins,
            errors: ForecastErrors::new(lead),
            squared_error: 0.0,
            error_weight: (tick.as_secs_f64() / LEAD_ERROR_MEMORY.as_secs_f64()).min(1.0),
        }
    }

    /// A request came.
    pub fn observe(&mut self, at: Timestamp) {
        self.bins.observe();
        self.errors.observe(at);
    }

    /// Forecast and root of the mean squared error at a tick.
    pub fn at(&mut self, now: Timestamp) -> DemandMoments {
        for count in self.bins.advance(now) {
            for smoother in &mut self.smoothers {
                smoother.push(count);
            }
        }
        if let Some(error) = self.errors.settle(now) {
            self.squared_error += self.error_weight * (error * error - self.squared_error);
        }
        let mean = self.forecast(now);
        self.errors.expect(now, mean);
        DemandMoments {
            mean: mean as f32,
            deviation: self.squared_error.sqrt() as f32,
        }
    }

    fn forecast(&self, now: Timestamp) -> f64 {
        let best = self
            .smoothers
            .iter()
            .min_by(|one, two| one.squared_error.total_cmp(&two.squared_error));
        let shares = self.bins.shares(now, self.lead);
        best.map_or(0.0, |smoother| {
            (1..)
                .zip(shares)
                .map(|(ahead, share)| share * smoother.forecast(ahead))
                .sum()
        })
    }
}

/// The Holt-Winters policy with a fixed `z`.
#[derive(Debug, Clone)]
pub struct HoltWinters {
    demand: SeasonalDemand,
    z: f32,
}

impl HoltWinters {
    /// From the forecaster and the number of deviations kept above its forecast.
    pub fn new(demand: SeasonalDemand, z: f32) -> Self {
        Self { demand, z }
    }
}

impl TargetPolicy for HoltWinters {
    fn observe(&mut self, arrival: &Arrival, _: Outcome) {
        self.demand.observe(arrival.at);
    }

    fn observe_merged(&mut self, _: &Arrival, _: Outcome) {}

    fn target(&mut self, now: Timestamp, _: &Inventory) -> u32 {
        self.demand.at(now).target(self.z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_season_is_learned() {
        let mut smoother = Smoother::new((0.05, 0.0, 0.3), 4);
        for _ in 0..60 {
            for count in [0.0, 10.0, 20.0, 10.0] {
                smoother.push(count);
            }
        }
        assert!((smoother.forecast(3) - 20.0).abs() < 0.5);
        assert!(smoother.forecast(1) < 0.5);
    }

    #[test]
    fn a_steady_stream_is_forecast_over_the_lead_time() {
        let (lead, tick) = (Duration::from_mins(3), Duration::from_mins(1));
        let mut demand = SeasonalDemand::new(lead, tick);
        let mut now = Timestamp::from_millis(0);
        let mut last = DemandMoments::default();
        for _ in 0..3_000 {
            last = demand.at(now);
            for second in 0..60 {
                demand.observe(now + Duration::from_secs(second));
            }
            now = now + tick;
        }
        assert!((last.mean - 180.0).abs() < 1.0, "{last:?}");
        assert!(last.deviation < 5.0, "{last:?}");
    }
}
