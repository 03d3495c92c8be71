//! The thread on which models run, and what answers in their place when they do not.

use std::{sync::Arc, thread, time::Duration};

use foreshadow_forecast::{
    ForecastError, Forecaster, PLANNING_LEVELS, Panel, QuantileForecast, SeasonalNaive,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{clock::Stopwatch, numbers::ForecastNumbers};

/// The season that the fallback repeats.
const SEASON: Duration = Duration::from_hours(24);

/// A model that can be given to the inference thread.
pub type BoxedForecaster = Box<dyn Forecaster + Send>;

/// The model's name and what it answered.
type Answer = (Arc<str>, Result<Vec<QuantileForecast>, ForecastError>);

enum Job {
    Forecast {
        panel: Arc<Panel>,
        horizon: usize,
        reply: oneshot::Sender<Answer>,
    },
    Swap(BoxedForecaster),
}

/// The way to the inference thread. It holds one batch beside the one that is being worked on.
#[derive(Debug, Clone)]
pub(crate) struct Inference {
    jobs: mpsc::Sender<Job>,
}

/// Forecasts of a batch, in the order of its series.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) forecasts: Vec<BatchForecast>,
}

/// The forecast of one series and who made it.
#[derive(Debug, Clone)]
pub(crate) struct BatchForecast {
    pub(crate) quantiles: QuantileForecast,
    pub(crate) model: Arc<str>,
    pub(crate) fallback: bool,
}

impl Inference {
    /// Starts the thread. It ends when the last way to it is dropped.
    pub(crate) fn start(model: BoxedForecaster) -> std::io::Result<Self> {
        let (jobs, mut inbox) = mpsc::channel(1);
        thread::Builder::new()
            .name("foreshadow-inference".to_owned())
            .spawn(move || {
                let mut model = model;
                while let Some(job) = inbox.blocking_recv() {
                    work(&mut model, job);
                }
            })?;
        Ok(Self { jobs })
    }

    /// Replaces the model after the batch that is being worked on.
    pub(crate) async fn swap(&self, model: BoxedForecaster) {
        // A thread that has ended is told of by the next batch, which falls back.
        let _ = self.jobs.send(Job::Swap(model)).await;
    }

    /// Forecasts all series of the panel from its end. Where the model is late, fails or gives what
    /// is no number, seasonal-naive answers instead and that is counted.
    pub(crate) async fn forecast(
        &self,
        panel: Arc<Panel>,
        horizon: usize,
        within: Duration,
        numbers: &ForecastNumbers,
    ) -> Batch {
        let watch = Stopwatch::start();
        numbers.series.set(panel.ids().len() as u64);
        let answer = timeout(within, self.ask(panel.clone(), horizon)).await;
        numbers.batch_time.record(watch.elapsed());
        match answer {
            Ok(Some((model, Ok(quantiles)))) => {
                numbers.model.set(&*model);
                checked(&panel, horizon, &model, quantiles, numbers)
            }
            Ok(Some((model, Err(error)))) => {
                tracing::warn!(%model, %error, "the forecast failed; seasonal-naive answers");
                numbers.failed.add(1);
                fallback_batch(&panel, horizon)
            }
            Ok(None) => {
                tracing::error!("the inference thread has ended; seasonal-naive answers");
                numbers.failed.add(1);
                fallback_batch(&panel, horizon)
            }
            Err(_) => {
                tracing::warn!(?within, "the forecast is late; seasonal-naive answers");
                numbers.late.add(1);
                fallback_batch(&panel, horizon)
            }
        }
    }

    async fn ask(&self, panel: Arc<Panel>, horizon: usize) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Forecast {
            panel,
            horizon,
            reply,
        };
        self.jobs.send(job).await.ok()?;
        answer.await.ok()
    }
}

fn work(model: &mut BoxedForecaster, job: Job) {
    match job {
        Job::Swap(next) => *model = next,
        // Whoever asked has fallen back already.
        Job::Forecast { reply, .. } if reply.is_closed() => {}
        Job::Forecast {
            panel,
            horizon,
            reply,
        } => {
            let name: Arc<str> = model.name().into();
            let answer = from_the_end(model.as_mut(), &panel, horizon);
            let _ = reply.send((name, answer));
        }
    }
}

fn from_the_end(
    model: &mut dyn Forecaster,
    panel: &Panel,
    horizon: usize,
) -> Result<Vec<QuantileForecast>, ForecastError> {
    let mut origins = model.forecast(panel, &[panel.bins()], horizon, &PLANNING_LEVELS)?;
    let forecasts = origins.pop().unwrap_or_default();
    let whole = forecasts.len() == panel.ids().len()
        && forecasts
            .iter()
            .all(|forecast| forecast.horizon() == horizon);
    if whole {
        Ok(forecasts)
    } else {
        Err(ForecastError::Failed(
            "it answered for other series or steps than asked".to_owned(),
        ))
    }
}

fn checked(
    panel: &Panel,
    horizon: usize,
    model: &Arc<str>,
    quantiles: Vec<QuantileForecast>,
    numbers: &ForecastNumbers,
) -> Batch {
    let mut standby = None;
    let mut not_finite = 0;
    let mut forecasts = Vec::with_capacity(quantiles.len());
    for (index, quantiles) in quantiles.into_iter().enumerate() {
        if quantiles.is_finite() {
            forecasts.push(BatchForecast {
                quantiles,
                model: model.clone(),
                fallback: false,
            });
        } else {
            not_finite += 1;
            let standby = standby.get_or_insert_with(|| fallback_batch(panel, horizon));
            forecasts.push(standby.forecasts[index].clone());
        }
    }
    numbers.not_finite.add(not_finite);
    Batch { forecasts }
}

/// A day, in bins.
pub(crate) fn season_bins(interval: Duration) -> usize {
    ((SEASON.as_millis() / interval.as_millis().max(1)) as usize).max(1)
}

/// What repeats yesterday, or the last value where there is no yesterday.
pub(crate) fn seasonal_naive(interval: Duration) -> SeasonalNaive {
    SeasonalNaive::new(season_bins(interval))
}

fn fallback_batch(panel: &Panel, horizon: usize) -> Batch {
    let mut standby = seasonal_naive(panel.interval());
    let model: Arc<str> = standby.name().into();
    let answered = from_the_end(&mut standby, panel, horizon);
    let quantiles = answered.unwrap_or_else(|_| {
        let zero = QuantileForecast::from_points(&PLANNING_LEVELS, &vec![0.0; horizon]);
        vec![zero; panel.ids().len()]
    });
    let forecasts = quantiles.into_iter().map(|quantiles| BatchForecast {
        quantiles,
        model: model.clone(),
        fallback: true,
    });
    Batch {
        forecasts: forecasts.collect(),
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::SeriesId;
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;

    /// Answers the number it was given, after a pause.
    struct Fake {
        value: f32,
        pause: Duration,
        fails: bool,
    }

    impl Forecaster for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn forecast(
            &mut self,
            panel: &Panel,
            origins: &[usize],
            horizon: usize,
            levels: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            thread::sleep(self.pause);
            if self.fails {
                return Err(ForecastError::Failed("as asked".to_owned()));
            }
            let one = QuantileForecast::from_points(levels, &vec![self.value; horizon]);
            Ok(vec![vec![one; panel.ids().len()]; origins.len()])
        }
    }

    fn panel() -> Arc<Panel> {
        let id = SeriesId {
            entity: EntityId::new("ada").unwrap(),
            metric: "cpu".to_owned(),
        };
        let start = Timestamp::from_millis(0);
        Arc::new(Panel::new(
            start,
            Duration::from_mins(1),
            vec![id],
            2,
            vec![1.0, 7.0],
        ))
    }

    async fn forecast(fake: Fake, numbers: &ForecastNumbers) -> BatchForecast {
        let inference = Inference::start(Box::new(fake)).unwrap();
        let within = Duration::from_millis(200);
        let batch = inference.forecast(panel(), 3, within, numbers).await;
        batch.forecasts[0].clone()
    }

    fn fake(value: f32) -> Fake {
        Fake {
            value,
            pause: Duration::ZERO,
            fails: false,
        }
    }

    #[tokio::test]
    async fn a_forecast_in_time_is_taken() {
        let numbers = ForecastNumbers::default();
        let answer = forecast(fake(5.0), &numbers).await;
        assert_eq!(answer.quantiles.quantile(2, 0.5), 5.0);
        assert_eq!((&*answer.model, answer.fallback), ("fake", false));
        assert_eq!(
            (
                numbers.late.get(),
                numbers.failed.get(),
                numbers.not_finite.get()
            ),
            (0, 0, 0)
        );
    }

    #[tokio::test]
    async fn a_late_forecast_falls_back_to_seasonal_naive() {
        let numbers = ForecastNumbers::default();
        let pause = Duration::from_secs(2);
        let answer = forecast(Fake { pause, ..fake(5.0) }, &numbers).await;
        assert_eq!(answer.quantiles.quantile(0, 0.5), 7.0);
        assert_eq!((&*answer.model, answer.fallback), ("seasonal-naive", true));
        assert_eq!(numbers.late.get(), 1);
    }

    #[tokio::test]
    async fn a_failed_forecast_falls_back_to_seasonal_naive() {
        let numbers = ForecastNumbers::default();
        let fails = true;
        let answer = forecast(Fake { fails, ..fake(5.0) }, &numbers).await;
        assert_eq!(
            (answer.quantiles.quantile(0, 0.5), answer.fallback),
            (7.0, true)
        );
        assert_eq!(numbers.failed.get(), 1);
    }

    #[tokio::test]
    async fn a_forecast_that_is_no_number_falls_back_to_seasonal_naive() {
        let numbers = ForecastNumbers::default();
        let answer = forecast(fake(f32::NAN), &numbers).await;
        assert_eq!(
            (answer.quantiles.quantile(0, 0.5), answer.fallback),
            (7.0, true)
        );
        assert_eq!(numbers.not_finite.get(), 1);
    }

    #[tokio::test]
    async fn a_swapped_model_answers_the_next_batch() {
        let numbers = ForecastNumbers::default();
        let inference = Inference::start(Box::new(fake(1.0))).unwrap();
        inference.swap(Box::new(fake(2.0))).await;
        let within = Duration::from_secs(5);
        let batch = inference.forecast(panel(), 1, within, &numbers).await;
        assert_eq!(batch.forecasts[0].quantiles.quantile(0, 0.5), 2.0);
    }
}
