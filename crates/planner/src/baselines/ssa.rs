//! Intelligent Pooling: a forecast by singular spectrum analysis, and the pool size that weighs
//! idling against waiting on samples of the demand.
//!
//! After Ravikumar et al., *Intelligent Pooling: Proactive Resource Provisioning in Large-scale Cloud
//! Service*, PVLDB 17:7, 2024. Its programme minimises `Σ α·Δ⁺ + (1 − α)·Δ⁻` over samples, where a
//! sample's Δ is the pool size less the demand over the start-up delay, with the size constant over a
//! block of time. For one block that linear programme is solved by the `(1 − α)`-quantile of the
//! samples, so no solver is needed. Samples are the forecast at several moments of the block plus
//! each error that such a forecast has had in the last days.

use std::{collections::VecDeque, time::Duration};

use foreshadow_types::Timestamp;

use super::{bins::BinCounter, forecast_error::ForecastErrors, spectrum::Spectrum};
use crate::{Arrival, Inventory, Outcome, TargetPolicy};

/// How many weights of waiting are told apart.
pub const SSA_WEIGHTS: usize = 96;

/// The series is decomposed over this many seasons.
const SEASONS_KEPT: usize = 7;

/// Errors remembered, in seasons.
const SEASONS_OF_ERRORS: usize = 3;

/// Moments of a block at which its demand is sampled.
const MOMENTS: u32 = 4;

/// The shortest series that is decomposed.
const FEWEST_BINS: usize = 24;

/// The pool size for each weight of waiting, from mostly idling to mostly waiting avoided.
pub type SizesByWeight = [f32; SSA_WEIGHTS];

/// Forecasts and samples; once a block, the size for each weight.
#[derive(Debug, Clone)]
pub struct SampledDemand {
    lead: Duration,
    bins: BinCounter,
    series: VecDeque<f64>,
    spectrum: Option<Spectrum>,
    /// Bins until the next decomposition.
    refit_in: usize,
    errors: ForecastErrors,
    /// Errors in order of time, and the same sorted.
    recent_errors: VecDeque<f64>,
    sorted_errors: Vec<f64>,
    sizes: SizesByWeight,
    blocks: u64,
}

impl SampledDemand {
    /// For a lead time.
    pub fn new(lead: Duration) -> Self {
        Self {
            lead,
            bins: BinCounter::for_lead(lead),
            series: VecDeque::new(),
            spectrum: None,
            refit_in: FEWEST_BINS,
            errors: ForecastErrors::new(lead),
            recent_errors: VecDeque::new(),
            sorted_errors: Vec::new(),
            sizes: [0.0; SSA_WEIGHTS],
            blocks: 0,
        }
    }

    /// The weight of waiting, `1 − α`, that has this number.
    pub fn weight(number: usize) -> f64 {
        // Even steps of the logit reach far into both tails.
        let logit = (number as f64 / (SSA_WEIGHTS - 1) as f64 - 0.5) * 16.0;
        1.0 / (1.0 + (-logit).exp())
    }

    /// A request came.
    pub fn observe(&mut self, at: Timestamp) {
        self.bins.observe();
        self.errors.observe(at);
    }

    /// Moves on to a tick; the sizes change when a block has ended.
    pub fn at(&mut self, now: Timestamp) -> &SizesByWeight {
        if let Some(error) = self.errors.settle(now) {
            self.remember(error);
        }
        let ended = self.bins.advance(now);
        if !ended.is_empty() {
            for count in ended {
                self.push(count);
            }
            self.blocks += 1;
            self.size_block(now);
        }
        &self.sizes
    }

    /// How many blocks have been sized.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    fn push(&mut self, count: f64) {
        self.series.push_back(count);
        if self.series.len() > SEASONS_KEPT * self.bins.season() {
            self.series.pop_front();
        }
        self.refit_in = self.refit_in.saturating_sub(1);
        if self.refit_in == 0 {
            let length = self.bins.season().min(self.series.len() / 2);
            self.spectrum = Spectrum::fit(self.series.make_contiguous(), length);
            self.refit_in = self.bins.season().min(self.series.len());
        }
    }

    fn remember(&mut self, error: f64) {
        let at = self.sorted_errors.partition_point(|&known| known < error);
        self.sorted_errors.insert(at, error);
        self.recent_errors.push_back(error);
        if self.recent_errors.len() > SEASONS_OF_ERRORS * self.bins.season()
            && let Some(oldest) = self.recent_errors.pop_front()
        {
            let at = self.sorted_errors.partition_point(|&known| known < oldest);
            self.sorted_errors.remove(at);
        }
    }

    fn size_block(&mut self, now: Timestamp) {
        let ahead = self.ahead();
        let over_lead = |at: Timestamp| -> f64 {
            let shares = self.bins.shares(at, self.lead);
            shares
                .iter()
                .zip(&ahead)
                .map(|(share, bin)| share * bin)
                .sum()
        };
        let forecast = over_lead(now);
        let step = self.bins.width() / MOMENTS;
        let mut samples: Vec<f64> = (0..MOMENTS)
            .map(|moment| over_lead(now + step * moment))
            .flat_map(|moment| self.sorted_errors.iter().map(move |error| moment + error))
            .collect();
        if samples.is_empty() {
            samples.push(forecast);
        }
        samples.sort_by(f64::total_cmp);
        self.sizes = std::array::from_fn(|number| quantile(&samples, Self::weight(number)) as f32);
        self.errors.expect(now, forecast);
    }

    /// The next bins: by the spectrum, or as the last one while there is none.
    fn ahead(&mut self) -> Vec<f64> {
        let last = self.series.back().copied().unwrap_or(0.0);
        let series = self.series.make_contiguous();
        match &self.spectrum {
            Some(spectrum) => spectrum.forecast(&series[series.len() - spectrum.length()..], 3),
            None => vec![last; 3],
        }
    }
}

/// The least sample that at least this share of the samples does not exceed.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let rank = (level * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Turns a size into a target.
pub fn ssa_target(size: f32) -> u32 {
    (size - 1e-4).ceil().max(0.0) as u32
}

/// The policy with a fixed weight of waiting.
#[derive(Debug, Clone)]
pub struct IntelligentPooling {
    demand: SampledDemand,
    number: usize,
}

impl IntelligentPooling {
    /// From the sampler and the number of a [`weight`](SampledDemand::weight).
    pub fn new(demand: SampledDemand, number: usize) -> Self {
        Self {
            demand,
            number: number.min(SSA_WEIGHTS - 1),
        }
    }
}

impl TargetPolicy for IntelligentPooling {
    fn observe(&mut self, arrival: &Arrival, _: Outcome) {
        self.demand.observe(arrival.at);
    }

    fn observe_merged(&mut self, _: &Arrival, _: Outcome) {}

    fn target(&mut self, now: Timestamp, _: &Inventory) -> u32 {
        ssa_target(self.demand.at(now)[self.number])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_weight_on_waiting_never_gives_a_smaller_pool() {
        let mut demand = SampledDemand::new(Duration::from_mins(1));
        let mut now = Timestamp::from_millis(0);
        for tick in 0..600_u64 {
            demand.at(now);
            for request in 0..(tick * 7919) % 13 {
                demand.observe(now + Duration::from_secs(request));
            }
            now = now + Duration::from_mins(1);
        }
        let sizes = demand.at(now);
        assert!(sizes.is_sorted());
        assert!(sizes[SSA_WEIGHTS - 1] > sizes[0]);
    }

    #[test]
    fn the_quantile_is_a_sample() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.999), 4.0);
        assert_eq!(quantile(&[1.0], 0.001), 1.0);
    }
}
