//! Forecasts of what users, applications and pools will need.

use std::time::{Duration, SystemTime};

use foreshadow_api::{
    duration_to_proto,
    v1::{
        self, PredictRequest, forecast, forecasts_client::ForecastsClient, predict_request::Subject,
    },
};

use crate::{
    Client, Error,
    time::{of_wire, span_of_wire},
};

/// What is to be forecast: requests over the next hour, unless told otherwise.
///
/// ```
/// use std::time::Duration;
/// use foreshadow_client::Predict;
///
/// let demand = Predict::pool("notebook").horizon(Duration::from_secs(4 * 3600));
/// let load = Predict::entity("ada").metric("cpu_usage_pct").levels([0.5, 0.9]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it says what is to be forecast, and a client asks for it"]
pub struct Predict(PredictRequest);

impl Predict {
    /// Of a user or an application, by its id.
    pub fn entity(id: impl Into<String>) -> Self {
        Self::of(Subject::EntityId(id.into()))
    }

    /// Of a pool: what it will be asked for.
    pub fn pool(name: impl Into<String>) -> Self {
        Self::of(Subject::Pool(name.into()))
    }

    fn of(subject: Subject) -> Self {
        Self(PredictRequest {
            subject: Some(subject),
            ..PredictRequest::default()
        })
    }

    /// The metric, such as `cpu_usage_pct`; `requests` unless given.
    pub fn metric(mut self, name: impl Into<String>) -> Self {
        self.0.metric = name.into();
        self
    }

    /// How far ahead, at most seven days; one hour unless given.
    pub fn horizon(mut self, horizon: Duration) -> Self {
        self.0.horizon = Some(duration_to_proto(horizon));
        self
    }

    /// Quantile levels between 0 and 1; 0.1 to 0.9 with 0.95 and 0.99 unless given.
    pub fn levels(mut self, levels: impl IntoIterator<Item = f64>) -> Self {
        self.0.levels = levels.into_iter().collect();
        self
    }
}

/// Quantiles of one metric for each step of a horizon.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Forecast {
    /// The user, application or pool.
    pub subject: String,
    /// The metric, its unit at the end of its name.
    pub metric: String,
    /// The start of the first step.
    pub from: SystemTime,
    /// The length of a step.
    pub step: Duration,
    /// Quantile levels, ascending.
    pub levels: Vec<f64>,
    /// For each step one value for each level, in the metric's unit.
    pub values: Vec<Vec<f64>>,
    /// The model that answered, such as `lstm` or `seasonal-naive`.
    pub model: String,
    /// Whether a simpler model answered because the preferred one was late or failed.
    pub fallback: bool,
    /// Whose habits it rests on, if not on the subject's own history.
    pub category: Option<String>,
    /// The share of values that fell into the 0.1–0.9 interval lately, once any have.
    pub recent_coverage_80: Option<f64>,
}

impl Forecast {
    fn of_wire(wire: v1::Forecast) -> Option<Self> {
        let steps = wire.steps.into_iter().map(|step| step.quantiles);
        let values: Vec<Vec<f64>> = steps.collect();
        if values.iter().any(|row| row.len() != wire.levels.len()) {
            return None;
        }
        let (from, step) = (of_wire(&wire.from?)?, span_of_wire(&wire.step?)?);
        // So that each step has a time.
        from.checked_add(step.checked_mul(u32::try_from(values.len()).ok()?)?)?;
        Some(Self {
            subject: match wire.subject? {
                forecast::Subject::EntityId(name) | forecast::Subject::Pool(name) => name,
            },
            metric: wire.metric,
            from,
            step,
            levels: wire.levels,
            values,
            model: wire.model,
            fallback: wire.fallback,
            category: Some(wire.category).filter(|category| !category.is_empty()),
            recent_coverage_80: wire.recent_coverage_80,
        })
    }

    /// The values of one level, one for each step; none if it was not asked for.
    pub fn at(&self, level: f64) -> Option<Vec<f64>> {
        let column = self.levels.iter().position(|known| *known == level)?;
        Some(self.values.iter().map(|row| row[column]).collect())
    }

    /// The start of each step.
    pub fn times(&self) -> impl Iterator<Item = SystemTime> {
        (0..self.values.len() as u32).map(|index| self.from + self.step * index)
    }
}

impl Client {
    /// Quantiles of a metric of a user, an application or a pool.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::Predict;
    ///
    /// let forecast = client.predict(Predict::pool("notebook").levels([0.5, 0.9])).await?;
    /// println!("by {}: {:?}", forecast.model, forecast.at(0.9));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] for a pool, an entity or a metric that is unknown,
    /// [`Error::InvalidRequest`] for levels or a horizon that cannot be, and those of any call.
    pub async fn predict(&self, what: Predict) -> Result<Forecast, Error> {
        let asked = self.ask("Predict", what.0, |to, request| async move {
            ForecastsClient::new(to).predict(request).await
        });
        let forecast = Forecast::of_wire(asked.await?.message);
        forecast.ok_or_else(|| self.misunderstood("Predict", "the forecast is not whole"))
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_api::well_known;

    use super::*;

    fn wire() -> v1::Forecast {
        let step = |quantiles: [f64; 2]| forecast::Step {
            quantiles: quantiles.to_vec(),
        };
        v1::Forecast {
            subject: Some(forecast::Subject::Pool("notebook".to_owned())),
            from: Some(well_known::Timestamp {
                seconds: 60,
                nanos: 0,
            }),
            step: Some(well_known::Duration {
                seconds: 30,
                nanos: 0,
            }),
            levels: vec![0.5, 0.9],
            steps: vec![step([1.0, 2.0]), step([3.0, 4.0])],
            ..v1::Forecast::default()
        }
    }

    #[test]
    fn a_level_and_the_times_are_read_by_step() {
        let forecast = Forecast::of_wire(wire()).unwrap();
        assert_eq!(forecast.subject, "notebook");
        assert_eq!(forecast.at(0.9), Some(vec![2.0, 4.0]));
        assert_eq!(forecast.at(0.95), None);
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
        };
        assert_eq!(forecast.times().map(seconds).collect::<Vec<_>>(), [60, 90]);
        assert_eq!(forecast.category, None);
    }

    #[test]
    fn a_forecast_with_a_hole_is_none() {
        let mut wire = wire();
        wire.steps[1].quantiles.pop();
        assert_eq!(Forecast::of_wire(wire), None);
    }

    #[test]
    fn a_forecast_past_all_times_is_none() {
        let endless = v1::Forecast {
            step: Some(well_known::Duration {
                seconds: i64::MAX,
                nanos: 0,
            }),
            ..wire()
        };
        assert_eq!(Forecast::of_wire(endless), None);
    }
}
