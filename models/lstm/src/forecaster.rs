//! The LSTM as a [`Forecaster`]: the recurrence runs once over a panel and forecasts at the origins.

use std::{num::NonZero, thread, time::Duration};

use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast};

#[cfg(any(test, feature = "gpu"))]
use crate::live::LiveBatch;
use crate::{
    block::{BLOCK_ROWS, Block},
    clock::Clock,
    kernel::{Network, Scratch},
};

/// The longest time that a forecast reaches ahead.
pub const LONGEST_HORIZON: Duration = Duration::from_hours(7 * 24);

/// A trained network for panels at its interval and at multiples of it.
#[derive(Debug, Clone)]
pub struct LstmForecaster {
    network: Network,
    interval: Duration,
    recur_from: usize,
}

impl LstmForecaster {
    /// With the interval that the network was trained at.
    pub fn new(network: Network, interval: Duration) -> Self {
        Self {
            network,
            interval,
            recur_from: 0,
        }
    }

    /// Leaves the recurrent state at zero before bin `bin`; scales and seasons still see all bins.
    /// Saves time where the far past has faded from the state anyway.
    #[must_use]
    pub fn recurring_from(mut self, bin: usize) -> Self {
        self.recur_from = bin;
        self
    }

    fn check(&self, interval: Duration, horizon: usize) -> Result<(), ForecastError> {
        let (model, asked) = (self.interval.as_millis().max(1), interval.as_millis());
        if asked == 0 || asked % model != 0 {
            return Err(ForecastError::Interval {
                model_s: self.interval.as_secs(),
                asked_s: interval.as_secs(),
            });
        }
        let longest = longest_steps(interval);
        if horizon > longest {
            return Err(ForecastError::Horizon {
                longest,
                asked: horizon,
            });
        }
        Ok(())
    }

    /// Forecasts of the series `first..first + rows` at each origin.
    fn run_block(
        &self,
        panel: &Panel,
        (first, rows): (usize, usize),
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Vec<Vec<QuantileForecast>> {
        let clock = Clock::new(panel.interval());
        let mut block = Block::new(&self.network, clock, rows);
        let mut scratch = Scratch::default();
        let all: Vec<usize> = (0..rows).collect();
        let before = clock.before(panel.start());
        let mut answers = Vec::with_capacity(origins.len());
        let mut done = 0;
        for &origin in origins {
            for bin in done..origin.min(panel.bins()) {
                let at = panel.bin_start(bin);
                block.remember(at, |row| panel.series(first + row)[bin]);
                if bin >= self.recur_from {
                    block.advance(&self.network, at, &mut scratch);
                }
            }
            done = origin.min(panel.bins());
            let at = if done == 0 {
                before
            } else {
                panel.bin_start(done - 1)
            };
            let mut known = Vec::with_capacity(rows);
            block.forecast(
                &self.network,
                at,
                &all,
                horizon,
                &mut scratch,
                |_, values| known.push(self.at_levels(levels, values.to_vec())),
            );
            answers.push(known);
        }
        answers
    }

    /// Forecasts of all series at each origin, with the network where it is computed for serving.
    #[cfg(any(test, feature = "gpu"))]
    fn run_live(
        &self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let mut batch = LiveBatch::new(self.network.clone(), panel.interval());
        let slots: Vec<_> = panel.ids().iter().map(|_| batch.add()).collect();
        let mut done = 0;
        let mut answers = Vec::with_capacity(origins.len());
        for &origin in origins {
            for bin in done..origin.min(panel.bins()) {
                batch.advance(panel.bin_start(bin), |slot| panel.series(slot.index())[bin]);
            }
            done = done.max(origin.min(panel.bins()));
            answers.push(batch.forecast(&slots, horizon, levels)?);
        }
        Ok(answers)
    }

    fn at_levels(&self, levels: &[f64], values: Vec<f32>) -> QuantileForecast {
        at_levels(&self.network.size().levels, values, levels)
    }
}

/// How many bins of `interval` a forecast may reach ahead.
pub(crate) fn longest_steps(interval: Duration) -> usize {
    ((LONGEST_HORIZON.as_millis() / interval.as_millis().max(1)) as usize).max(1)
}

/// A forecast at other levels than the network's.
pub(crate) fn at_levels(known: &[f64], values: Vec<f32>, levels: &[f64]) -> QuantileForecast {
    let forecast = QuantileForecast::new(known, values);
    if known == levels {
        return forecast;
    }
    let values = (0..forecast.horizon())
        .flat_map(|step| levels.iter().map(move |&level| (step, level)))
        .map(|(step, level)| forecast.quantile(step, level))
        .collect();
    QuantileForecast::new(levels, values)
}

impl Forecaster for LstmForecaster {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        self.check(panel.interval(), horizon)?;
        let series = panel.ids().len();
        #[cfg(any(test, feature = "gpu"))]
        if self.recur_from == 0
            && origins.iter().all(|&origin| origin > 0)
            && self.network.card(series).is_some()
        {
            return self.run_live(panel, origins, horizon, levels);
        }
        let blocks: Vec<(usize, usize)> = (0..series)
            .step_by(BLOCK_ROWS)
            .map(|first| (first, BLOCK_ROWS.min(series - first)))
            .collect();
        let this = &*self;
        let answers = in_parallel(&blocks, |&span| {
            this.run_block(panel, span, origins, horizon, levels)
        })?;
        let mut by_origin: Vec<Vec<QuantileForecast>> =
            vec![Vec::with_capacity(series); origins.len()];
        for block in answers {
            for (origin, forecasts) in block.into_iter().enumerate() {
                by_origin[origin].extend(forecasts);
            }
        }
        Ok(by_origin)
    }
}

/// Maps `items` on as many threads as there are cores; answers in order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Result<Vec<R>, ForecastError> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(items.len());
    if threads < 2 {
        return Ok(items.iter().map(work).collect());
    }
    let share = items.len().div_ceil(threads);
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for worker in workers {
            let part = worker
                .join()
                .map_err(|_| ForecastError::Failed("a worker stopped".to_owned()))?;
            all.extend(part);
        }
        Ok(all)
    })
}
