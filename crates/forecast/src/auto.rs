//! The model that did best lately, for each series by itself.

use crate::{Choice, ForecastError, Forecaster, Panel, QuantileForecast};

/// Forecasts each series by the model with the lower recent pinball loss; the first model until enough
/// is known of a series.
pub struct Auto {
    models: Vec<(String, Box<dyn Forecaster>)>,
    choice: Choice,
    /// Forecasts given by each model.
    given: Vec<u64>,
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
            choice: Choice::new(models.len()),
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

    /// The forecasts of one origin, each series by its model.
    fn choose(
        &mut self,
        panel: &Panel,
        origin: usize,
        by_model: &[Vec<QuantileForecast>],
    ) -> Vec<QuantileForecast> {
        let chosen = self.choice.choose(panel, origin, by_model);
        let forecasts = chosen.into_iter().enumerate().map(|(series, model)| {
            self.given[model] += 1;
            by_model[model][series].clone()
        });
        forecasts.collect()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::{EntityId, Timestamp};

    use super::*;
    use crate::{Evaluation, EvaluationError, Naive, Protocol, SeasonalNaive, SeriesId};

    const SEASON: usize = 12;
    const BINS: usize = 480;

    /// One series that repeats itself and one that climbs steadily.
    fn panel() -> Panel {
        let ids = ["rhythm", "climb"]
            .map(|name| SeriesId::of_entity(EntityId::new(name).unwrap(), "load".to_owned()));
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
        assert!(shares[1] > 0.3 && shares[1] < 0.5, "{shares:?}");
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
