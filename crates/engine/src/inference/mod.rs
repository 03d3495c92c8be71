//! The thread on which models run, and what answers in their place when they do not.

mod others;
mod standby;
mod untrained;

use std::{sync::Arc, thread, time::Duration};

use foreshadow_forecast::{ForecastError, Forecaster, PLANNING_LEVELS, Panel, QuantileForecast};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::{Instrument, Span, field::Empty, info_span};

pub(crate) use self::{
    others::Wish,
    standby::{season_bins, seasonal_naive},
    untrained::Untrained,
};
use self::{
    others::{Named, Others},
    standby::fallback_batch,
};
use crate::{
    clock::Stopwatch,
    numbers::ForecastNumbers,
    trace::{OUTCOME, TARGET},
};
pub use untrained::PRETRAINED;

/// The share of the time for a batch that the models beside the one in use may have taken when another
/// of them begins.
const OTHERS_SHARE: f64 = 0.5;

/// A model that can be given to the inference thread.
pub type BoxedForecaster = Box<dyn Forecaster + Send>;

/// The name of the model in use and what it and the others answered.
type Answer = (Arc<str>, Result<Vec<Named>, ForecastError>);

/// What is to be forecast.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) panel: Arc<Panel>,
    pub(crate) horizon: usize,
    /// The series that another model than the one in use may forecast.
    pub(crate) wishes: Vec<Wish>,
    /// How long the answer is waited for.
    pub(crate) within: Duration,
}

enum Job {
    Forecast {
        question: Question,
        asked: Stopwatch,
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
                let (mut model, mut others) = (model, Others::new());
                while let Some(job) = inbox.blocking_recv() {
                    work(&mut model, &mut others, job);
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
    pub(crate) async fn forecast(&self, question: Question, numbers: &ForecastNumbers) -> Batch {
        let span = info_span!(
            target: TARGET,
            "forecast",
            foreshadow.series = question.panel.ids().len() as i64,
            foreshadow.horizon = question.horizon as i64,
            foreshadow.model = Empty,
            foreshadow.outcome = Empty,
        );
        self.answered(question, numbers).instrument(span).await
    }

    async fn answered(&self, question: Question, numbers: &ForecastNumbers) -> Batch {
        let watch = Stopwatch::start();
        let span = Span::current();
        let (panel, horizon, within) = (question.panel.clone(), question.horizon, question.within);
        numbers.series.set(panel.ids().len() as u64);
        let answer = timeout(within, self.ask(question, watch)).await;
        numbers.batch_time.record(watch.elapsed());
        match answer {
            Ok(Some((model, Ok(forecasts)))) => {
                numbers.model.set(&*model);
                span.record("foreshadow.model", &*model);
                span.record(OUTCOME, "forecast");
                checked(&panel, horizon, forecasts, numbers)
            }
            Ok(Some((model, Err(error)))) => {
                tracing::warn!(%model, %error, "the forecast failed; seasonal-naive answers");
                numbers.failed.add(1);
                span.record(OUTCOME, "failed");
                fallback_batch(&panel, horizon)
            }
            Ok(None) => {
                tracing::error!("the inference thread has ended; seasonal-naive answers");
                numbers.failed.add(1);
                span.record(OUTCOME, "failed");
                fallback_batch(&panel, horizon)
            }
            Err(_) => {
                tracing::warn!(?within, "the forecast is late; seasonal-naive answers");
                numbers.late.add(1);
                span.record(OUTCOME, "late");
                fallback_batch(&panel, horizon)
            }
        }
    }

    async fn ask(&self, question: Question, asked: Stopwatch) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Forecast {
            question,
            asked,
            reply,
        };
        self.jobs.send(job).await.ok()?;
        answer.await.ok()
    }
}

fn work(model: &mut BoxedForecaster, others: &mut Others, job: Job) {
    match job {
        Job::Swap(next) => *model = next,
        // Whoever asked has fallen back already.
        Job::Forecast { reply, .. } if reply.is_closed() => {}
        Job::Forecast {
            question,
            asked,
            reply,
        } => {
            let answer = answer(model, others, &question, asked);
            let _ = reply.send((model.name().into(), answer));
        }
    }
}

fn answer(
    model: &mut BoxedForecaster,
    others: &mut Others,
    question: &Question,
    asked: Stopwatch,
) -> Result<Vec<Named>, ForecastError> {
    let forecasts = from_the_end(model.as_mut(), &question.panel, question.horizon)?;
    let mut forecasts = named(model.as_ref(), &question.panel, forecasts);
    let time = (asked, question.within.mul_f64(OTHERS_SHARE));
    others.grant(&question.panel, &question.wishes, &mut forecasts, time);
    Ok(forecasts)
}

/// Forecasts with the name of whoever made each.
fn named(model: &dyn Forecaster, panel: &Panel, forecasts: Vec<QuantileForecast>) -> Vec<Named> {
    let mut latest: Arc<str> = model.name().into();
    let named = forecasts.into_iter().zip(panel.ids()).map(|(one, id)| {
        let name = model.name_of(id);
        if *latest != *name {
            latest = name.into();
        }
        (one, latest.clone())
    });
    named.collect()
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

fn checked(panel: &Panel, horizon: usize, answers: Vec<Named>, numbers: &ForecastNumbers) -> Batch {
    let mut standby = None;
    let mut not_finite = 0;
    let mut forecasts = Vec::with_capacity(answers.len());
    for (index, (quantiles, model)) in answers.into_iter().enumerate() {
        if quantiles.is_finite() {
            forecasts.push(BatchForecast {
                quantiles,
                model,
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
        let id = SeriesId::of_entity(EntityId::new("ada").unwrap(), "cpu".to_owned());
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
        let batch = inference.forecast(question(3), numbers).await;
        batch.forecasts[0].clone()
    }

    fn question(horizon: usize) -> Question {
        Question {
            panel: panel(),
            horizon,
            wishes: Vec::new(),
            within: Duration::from_millis(200),
        }
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
        let batch = inference.forecast(question(1), &numbers).await;
        assert_eq!(batch.forecasts[0].quantiles.quantile(0, 0.5), 2.0);
    }
}
