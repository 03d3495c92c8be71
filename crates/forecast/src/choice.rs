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

    /// Counts the forecasts of a series whose time has passed at an origin. Of those from before the
    /// panel nothing can be said any more.
    fn settle(&mut self, panel: &Panel, series: usize, origin: usize) {
        let id = &panel.ids()[series];
        let Some(pending) = self.pending.get(id) else {
            return;
        };
        let first = pending.forecasts.first();
        let steps = first.map_or(0, QuantileForecast::horizon).min(COMPARED);
        let bin = bin_of(panel, pending.from);
        if bin.is_some_and(|bin| bin + steps > origin) {
            return;
        }
        let Some((pending, bin)) = self.pending.remove(id).zip(bin) else {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::EntityId;

    use super::*;

    /// A series of zeros that has been known since a bin.
    fn panel(first: i64, bins: usize) -> Panel {
        let id = SeriesId::of_entity(EntityId::new("pool").unwrap(), "requests".to_owned());
        let interval = Duration::from_mins(1);
        let start = Timestamp::from_millis(first * 60_000);
        Panel::new(start, interval, vec![id], bins, vec![0.0; bins])
    }

    #[test]
    fn what_was_forecast_before_the_panel_does_not_end_the_choice() {
        let point = |value| vec![QuantileForecast::from_points(&[0.5], &[value; 10])];
        let by_model = [point(5.0), point(0.0)];
        let mut choice = Choice::new(2);
        let mut chosen = |first| {
            let panel = panel(first, 100);
            choice.choose(&panel, panel.bins(), &by_model)[0]
        };
        assert_eq!(chosen(0), 0);
        // All that was known was forgotten meanwhile.
        let later: Vec<_> = (0..80).map(|tick| chosen(10_000 + tick)).collect();
        assert_eq!((later[0], later[79]), (0, 1));
    }
}
