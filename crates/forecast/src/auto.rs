//! The model that did best lately, for each series by itself.

use std::collections::HashMap;

use foreshadow_types::Timestamp;

use crate::{
    ForecastError, Forecaster, ModelSelector, Panel, QuantileForecast, SeriesId, pinball_loss,
};

/// After so many settled values a loss counts half.
const HALF_LIFE: f64 = 500.0;

/// Steps of a forecast that are compared with what came, at the most.
const COMPARED: usize = 288;

/// Forecasts each series by the model with the lower recent pinball loss; the first model until enough
/// is known of a series. A forecast counts once its time has passed, so the choice sees nothing that
/// was not known when it was made.
pub struct Auto {
    models: Vec<(String, Box<dyn Forecaster>)>,
    choices: ModelSelector<SeriesId>,
    pending: HashMap<SeriesId, Pending>,
    /// Forecasts given by each model.
    given: Vec<u64>,
}

/// What all models forecast of a series from one moment on.
struct Pending {
    from: Timestamp,
    forecasts: Vec<QuantileForecast>,
}

impl std::fmt::Debug for Auto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let models: Vec<&str> = self.models.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Auto")
            .field("models", &models)
            .finish_non_exhaustive()
    }
}

impl Auto {
    /// Chooses among models, by the names that reports call them.
    pub fn new(models: Vec<(String, Box<dyn Forecaster>)>) -> Self {
        Self {
            choices: ModelSelector::new(models.len(), HALF_LIFE),
            pending: HashMap::new(),
            given: vec![0; models.len()],
            models,
        }
    }

    /// Each model and the share of all forecasts that it gave.
    pub fn shares(&self) -> impl Iterator<Item = (&str, f64)> {
        let all = self.given.iter().sum::<u64>().max(1) as f64;
        let names = self.models.iter().map(|(name, _)| &**name);
        names.zip(self.given.iter().map(move |&given| given as f64 / all))
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
            self.choices.observe(id, &losses);
        }
    }

    /// The forecasts of one origin, each series by its model.
    fn choose(
        &mut self,
        panel: &Panel,
        origin: usize,
        by_model: &[Vec<QuantileForecast>],
    ) -> Vec<QuantileForecast> {
        let from = panel.bin_start(origin);
        let mut chosen = Vec::with_capacity(panel.ids().len());
        for (series, id) in panel.ids().iter().enumerate() {
            self.settle(panel, series, origin);
            let model = self.choices.chosen(id);
            self.given[model] += 1;
            let forecasts = || by_model.iter().map(|all| all[series].clone());
            self.pending.entry(id.clone()).or_insert_with(|| Pending {
                from,
                forecasts: forecasts().collect(),
            });
            chosen.push(by_model[model][series].clone());
        }
        chosen
    }
}

impl Forecaster for Auto {
    fn name(&self) -> &'static str {
        "auto"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let mut by_model = Vec::with_capacity(self.models.len());
        for (_, model) in &mut self.models {
            let all = model.forecast(panel, origins, horizon, levels)?;
            by_model.push(all.into_iter());
        }
        let answers = origins.iter().map(|&origin| {
            let at_origin: Vec<_> = by_model.iter_mut().filter_map(Iterator::next).collect();
            self.choose(panel, origin, &at_origin)
        });
        Ok(answers.collect())
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
    use crate::{Evaluation, EvaluationError, Naive, Protocol, SeasonalNaive};

    const SEASON: usize = 12;
    const BINS: usize = 480;

    /// One series that repeats itself and one that climbs steadily.
    fn panel() -> Panel {
        let ids = ["rhythm", "climb"].map(|name| SeriesId {
            entity: EntityId::new(name).unwrap(),
            metric: "load".to_owned(),
        });
        let rhythm = (0..BINS).map(|bin| (bin % SEASON) as f32);
        let climb = (0..BINS).map(|bin| 0.1 * bin as f32);
        let values = rhythm.chain(climb).collect();
        let start = Timestamp::from_millis(0);
        Panel::new(start, Duration::from_mins(5), ids.to_vec(), BINS, values)
    }

    fn crps(model: &mut dyn Forecaster) -> f64 {
        let panel = panel();
        let protocol = Protocol {
            horizon: 12,
            windows: 20,
            season: SEASON,
        };
        let evaluation = Evaluation::new(&panel, protocol).unwrap();
        let sums = evaluation.score(model, |_| Ok::<_, EvaluationError>(()));
        sums.unwrap().accuracy().crps
    }

    fn both() -> Auto {
        let naive: Box<dyn Forecaster> = Box::new(Naive);
        let seasonal: Box<dyn Forecaster> = Box::new(SeasonalNaive::new(SEASON));
        Auto::new(vec![
            ("seasonal-naive".to_owned(), seasonal),
            ("naive".to_owned(), naive),
        ])
    }

    #[test]
    fn each_series_has_the_model_that_did_better_on_it() {
        let mut auto = both();
        let chosen = crps(&mut auto);
        let (naive, seasonal) = (crps(&mut Naive), crps(&mut SeasonalNaive::new(SEASON)));
        assert!(
            chosen < 0.7 * naive.min(seasonal),
            "{chosen} {naive} {seasonal}"
        );
        let shares: Vec<f64> = auto.shares().map(|(_, share)| share).collect();
        assert!((shares[0] + shares[1] - 1.0).abs() < 1e-9);
        assert!(shares[1] > 0.4 && shares[1] < 0.5, "{shares:?}");
    }

    #[test]
    fn later_values_change_nothing_of_earlier_choices() {
        let whole = panel();
        let origins = [240, 252, 264, 276];
        let of = |panel: &Panel| {
            let answers = both().forecast(panel, &origins, 12, &[0.5]).unwrap();
            let last = answers[3].iter().map(|one| one.step(0).to_vec());
            last.collect::<Vec<_>>()
        };
        assert_eq!(of(&whole), of(&whole.truncated(276)));
    }
}
