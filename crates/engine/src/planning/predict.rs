//! Answers to questions that the latest tick's forecasts do not hold.

use std::{sync::Arc, time::Duration};

use foreshadow_forecast::{PLANNING_LEVELS, Panel, QuantileForecast};
use foreshadow_types::EntityId;

use super::{
    Planning,
    forecasts::key_of,
    latest::{REQUESTS, SeriesForecast, steps_of},
};
use crate::{
    collector::{CollectorCommand, GatheredSeries, SeriesKey, WarmSeries},
    config::PoolModel,
    error::EngineError,
    inference::{Question, Wish},
    views::{Accuracy, Basis, PredictRequest, Prediction, Subject},
};

/// How long a forecast on demand may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Planning {
    pub(super) async fn predict(
        &mut self,
        request: &PredictRequest,
    ) -> Result<Prediction, EngineError> {
        check_levels(&request.levels)?;
        let steps = self.steps(request.horizon)?;
        let metric = request.metric.as_deref().unwrap_or(REQUESTS);
        let latest = self.links.latest.borrow().clone();
        if let Some(prediction) = latest.answer(request) {
            return Ok(prediction);
        }
        let own = key_of(&request.subject, Some(metric))
            .and_then(|key| Some((self.own_series(&key)?, key)));
        let forecast = match (own, &request.subject) {
            (Some((panel, key)), _) => self.on_demand(panel, &key, steps).await,
            (None, Subject::Pool(pool)) if !self.pools.contains_key(pool) => {
                return Err(EngineError::UnknownPool(pool.clone()));
            }
            (None, Subject::Pool(_)) if metric == REQUESTS => nothing_asked_yet(steps),
            (None, Subject::Pool(pool)) => return Err(unknown_metric(pool.as_str(), metric)),
            (None, Subject::Entity(entity)) => self.of_its_category(entity, metric, steps)?,
        };
        let subject = request.subject.clone();
        Ok(latest.prediction(subject, metric, &forecast, steps, &request.levels))
    }

    fn steps(&self, horizon: Duration) -> Result<usize, EngineError> {
        let steps = steps_of(horizon, self.bin).unwrap_or(1);
        if horizon.is_zero() || steps > self.horizon_limit {
            return Err(EngineError::Argument {
                field: "horizon",
                value: format!("{horizon:?}"),
                mend: format!(
                    "give more than zero and at most {} steps of {:?}",
                    self.horizon_limit, self.bin
                ),
            });
        }
        Ok(steps)
    }

    /// One series of the latest batch as a panel of its own.
    fn own_series(&self, key: &SeriesKey) -> Option<Arc<Panel>> {
        let GatheredSeries { panel, keys } = self.forecasts.series.as_ref()?;
        let index = keys.binary_search(key).ok()?;
        Some(Arc::new(panel.only(&[index])))
    }

    async fn on_demand(&self, panel: Arc<Panel>, key: &SeriesKey, steps: usize) -> SeriesForecast {
        let numbers = &self.links.numbers.forecasts;
        let inference = &self.links.inference;
        let question = Question {
            panel,
            horizon: steps,
            wishes: self.wish_of(key).into_iter().collect(),
            within: PATIENCE,
        };
        let mut batch = inference.forecast(question, numbers).await;
        match batch.forecasts.pop() {
            Some(forecast) => SeriesForecast {
                quantiles: self.forecasts.calibrated(key, &forecast.quantiles),
                model: forecast.model,
                basis: Basis::Own,
                fallback: forecast.fallback,
                accuracy: Accuracy::default(),
            },
            None => nothing_asked_yet(steps),
        }
    }

    /// The model that forecast a pool lately goes on, where one is to be chosen.
    fn wish_of(&self, key: &SeriesKey) -> Option<Wish> {
        let SeriesKey::Pool(pool) = key else {
            return None;
        };
        let model = match self.pools.get(pool)?.config.model {
            PoolModel::Auto => {
                let latest = self.forecasts.of_pool(pool)?;
                let own = Some(latest).filter(|one| !one.fallback)?;
                own.model.parse().ok()?
            }
            model => model,
        };
        Some(Wish { series: 0, model })
    }

    /// The mean forecast of those who behave alike.
    fn of_its_category(
        &self,
        entity: &EntityId,
        metric: &str,
        steps: usize,
    ) -> Result<SeriesForecast, EngineError> {
        let Some(category) = self.forecasts.categories.get(entity) else {
            let known = self.forecasts.views().any(|(known, ..)| known == entity);
            return Err(if known {
                unknown_metric(entity.as_str(), metric)
            } else {
                EngineError::UnknownEntity(entity.clone())
            });
        };
        let alike = self.forecasts.of_category(category, metric);
        let forecasts: Vec<&QuantileForecast> = alike.map(|one| &one.quantiles).collect();
        let mean = mean_forecast(&forecasts, steps)
            .ok_or_else(|| unknown_metric(entity.as_str(), metric))?;
        Ok(SeriesForecast {
            quantiles: mean,
            model: "category-mean".into(),
            basis: Basis::Category(category.to_string()),
            fallback: false,
            accuracy: Accuracy::default(),
        })
    }

    pub(super) async fn rebin(&mut self, interval: Duration, warm: Option<WarmSeries>) {
        if self.bin == interval {
            return;
        }
        self.bin = interval;
        self.forecasts.forget();
        let rebin = CollectorCommand::Rebin { interval, warm };
        // A collector that has ended is found out at the next tick.
        let _ = self.links.collector.send(rebin).await;
    }
}

/// The mean over forecasts of each quantile; beyond their end the last step goes on.
fn mean_forecast(forecasts: &[&QuantileForecast], steps: usize) -> Option<QuantileForecast> {
    let count = forecasts.len() as f32;
    let shortest = forecasts.iter().map(|one| one.horizon()).min()?;
    let last = shortest.checked_sub(1)?;
    let mut values = Vec::with_capacity(steps * PLANNING_LEVELS.len());
    for step in 0..steps {
        for level in PLANNING_LEVELS {
            let sum: f32 = forecasts
                .iter()
                .map(|one| one.quantile(step.min(last), level))
                .sum();
            values.push(sum / count);
        }
    }
    Some(QuantileForecast::new(&PLANNING_LEVELS, values))
}

/// The forecast of a pool that nobody has asked for.
fn nothing_asked_yet(steps: usize) -> SeriesForecast {
    SeriesForecast {
        quantiles: QuantileForecast::from_points(&PLANNING_LEVELS, &vec![0.0; steps]),
        model: "no-history".into(),
        basis: Basis::Own,
        fallback: false,
        accuracy: Accuracy::default(),
    }
}

fn unknown_metric(subject: &str, metric: &str) -> EngineError {
    EngineError::UnknownMetric {
        subject: subject.to_owned(),
        metric: metric.to_owned(),
    }
}

fn check_levels(levels: &[f64]) -> Result<(), EngineError> {
    let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
    let ascending = levels.windows(2).all(|pair| pair[0] < pair[1]);
    if inside && ascending {
        return Ok(());
    }
    Err(EngineError::Argument {
        field: "levels",
        value: format!("{levels:?}"),
        mend: "give ascending numbers above 0 and below 1".to_owned(),
    })
}
