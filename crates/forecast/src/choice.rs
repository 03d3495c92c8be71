//! Which of several models forecasts each series.

use std::collections::HashMap;

use foreshadow_types::Timestamp;

use crate::{ModelSelector, Panel, QuantileForecast, SeriesId, pinball_loss};

/// After so many settled values a loss counts half.
const HALF_LIFE: f64 = 500.0;

/// Steps of a forecast that are compared with what came, at the most.
const COMPARED: usize = 288;

/// Chooses for each series by itself the model with the lower recent pinball loss; the first until
/// enough is known of a series. A forecast counts once its time has passed, so the choice sees nothing
/// that was not known when it was made.
#[derive(Debug)]
pub struct Choice {
    selector: ModelSelector<SeriesId>,
    pending: HashMap<SeriesId, Pending>,
}

/// What all models forecast of a series from one moment on.
#[derive(Debug)]
struct Pending {
    from: Timestamp,
    forecasts: Vec<QuantileForecast>,
}

impl Choice {
    /// Among so many models.
    pub fn new(models: usize) -> Self {
        Self {
            selector: ModelSelector::new(models, HALF_LIFE),
            pending: HashMap::new(),
        }
    }

    /// The number of the model for each series of the panel, given what each model forecasts of all of
    /// them from an origin.
    pub fn choose(
        &mut self,
        panel: &Panel,
        origin: usize,
        by_model: &[Vec<QuantileForecast>],
    ) -> Vec<usize> {
        let from = panel.bin_start(origin);
        let mut chosen = Vec::with_capacity(panel.ids().len());
        for (series, id) in panel.ids().iter().enumerate() {
            self.settle(panel, series, origin);
            chosen.push(self.selector.chosen(id));
            self.pending.entry(id.clone()).or_insert_with(|| Pending {
                from,
                forecasts: by_model.iter().map(|all| all[series].clone()).collect(),
            });
        }
        chosen
    }

    /// Counts the forecasts of a series whose time has passed at an origin.
    fn settle(&mut self, panel: &Panel, series: usize, origin: usize) {
        let id = &panel.ids()[series];
        let passed = |pending: &Pending| {
            let steps = pending
                .forecasts
                .first()
                .map_or(0, QuantileForecast::horizon);
            let bin = bin_of(panel, pending.from)?;
            let due = bin + steps.min(COMPARED) <= origin;
            due.then_some((bin, steps.min(COMPARED)))
        };
        let Some((bin, steps)) = self.pending.get(id).and_then(passed) else {
            return;
        };
        let Some(pending) = self.pending.remove(id) else {
            return;
        };
        let actual = &panel.series(series)[bin..bin + steps];
        for (step, &value) in actual.iter().enumerate() {
            let losses = pending.forecasts.iter();
            let losses: Vec<f64> = losses.map(|one| loss(one, step, value)).collect();
            self.selector.observe(id, &losses);
        }
    }
}

/// The mean pinball loss at one step; no number if there is no value.
fn loss(forecast: &QuantileForecast, step: usize, value: f32) -> f64 {
    let levels = forecast.levels().iter().zip(forecast.step(step));
    let losses = levels
        .map(|(&level, &quantile)| pinball_loss(level, f64::from(quantile), f64::from(value)));
    losses.sum::<f64>() / forecast.levels().len() as f64
}

/// The bin that starts at a time, if the panel has begun by then.
fn bin_of(panel: &Panel, at: Timestamp) -> Option<usize> {
    let since = at.as_millis().checked_sub(panel.start().as_millis())?;
    let interval = i64::try_from(panel.interval().as_millis()).ok()?;
    usize::try_from(since / interval.max(1)).ok()
}
