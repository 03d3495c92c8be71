//! One model takes the place of another. It first takes in the past of every series, which is as much
//! work as hundreds of ticks, on a thread of its own; the other goes on until it has caught up.

use std::{io, sync::Arc, thread, time::Duration};

use foreshadow_forecast::Panel;
use foreshadow_types::Timestamp;
use tokio::{
    sync::oneshot::{self, error::RecvError},
    time::timeout,
};

use super::Planning;
use crate::{collector::WarmSeries, inference::BoxedForecaster, retraining::LoadedForecaster};

/// How long the first tick waits for a model that soon has caught up.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// So many bins may have closed while a model caught up: it takes them in at its first tick.
const FEW_BINS: u32 = 2;

/// A model that is to take over.
pub(crate) struct Successor {
    pub(crate) model: BoxedForecaster,
    /// The width of its bins; `None` if it forecasts at whatever width there is.
    pub(crate) interval: Option<Duration>,
    /// Past values at its width of bins, for series to go on from where theirs is another.
    pub(crate) warm: Arc<Panel>,
}

impl Successor {
    /// A model that was read, and what series go on from.
    pub(crate) fn of(model: LoadedForecaster, warm: Arc<Panel>) -> Self {
        Self {
            model: model.forecaster,
            interval: Some(model.interval),
            warm,
        }
    }
}

/// A successor on its way.
pub(crate) struct Succession {
    arriving: oneshot::Receiver<Successor>,
    /// The end of what it takes in.
    through: Timestamp,
}

impl Succession {
    /// Lets a model take in the past.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(crate) fn begin(mut successor: Successor, past: &Arc<Panel>) -> io::Result<Self> {
        let (arrived, arriving) = oneshot::channel();
        let (past, through) = (past.clone(), past.bin_start(past.bins()));
        thread::Builder::new()
            .name("succession".to_owned())
            .spawn(move || {
                successor.model.catch_up(&past);
                // Another may have been chosen meanwhile, or the service have ended.
                let _ = arrived.send(successor);
            })?;
        Ok(Self { arriving, through })
    }

    /// Waits for a model; for ever if there is none on its way. May be given up and called again.
    pub(super) async fn arrived(of: &mut Option<Self>) -> Result<Successor, RecvError> {
        match of {
            Some(succession) => (&mut succession.arriving).await,
            None => std::future::pending().await,
        }
    }

    /// Whether more bins of a panel have closed meanwhile than are taken in at one tick.
    fn is_behind(&self, panel: &Panel) -> bool {
        self.through + panel.interval() * FEW_BINS < panel.bin_start(panel.bins())
    }
}

impl Planning {
    /// Lets a model take over as soon as it knows the past.
    pub(super) fn succeed(&mut self, successor: Successor) {
        let live = self.series_at(successor.interval);
        let past = live.unwrap_or_else(|| successor.warm.clone());
        self.succession = Succession::begin(successor, &past)
            .inspect_err(|error| tracing::error!(%error, "the model in use stays: no thread"))
            .ok();
    }

    /// The series of the latest tick, if their bins are as wide.
    fn series_at(&self, interval: Option<Duration>) -> Option<Arc<Panel>> {
        let panel = &self.forecasts.series.as_ref()?.panel;
        let fits = interval.is_none_or(|interval| interval == panel.interval());
        fits.then(|| panel.clone())
    }

    /// Waits for a model that goes on from an earlier run, but not for long.
    pub(super) async fn wait_for_a_near_successor(&mut self) {
        if self.succession.is_none() {
            return;
        }
        let wait = LONGEST_WAIT.min(self.config.value.tick);
        if let Ok(arrived) = timeout(wait, Succession::arrived(&mut self.succession)).await {
            self.take_over(arrived).await;
        }
    }

    /// Takes up a model that has taken in the past, or lets it take in what has come since. With another
    /// width of bins, series go on from the values that the history has at it.
    pub(super) async fn take_over(&mut self, arrived: Result<Successor, RecvError>) {
        let succession = self.succession.take();
        let (Some(succession), Ok(successor)) = (succession, arrived) else {
            tracing::error!("a model failed while it took in the past; the one in use stays");
            return;
        };
        let live = self.series_at(successor.interval);
        if live.is_some_and(|panel| succession.is_behind(&panel)) {
            return self.succeed(successor);
        }
        self.links.inference.swap(successor.model).await;
        // What drifted was the model before it.
        self.drift = None;
        self.model_interval = successor.interval;
        let pools = self.pools.keys().cloned().collect();
        let panel = successor.warm;
        let bin = self.model_interval.unwrap_or(self.config.value.tick);
        self.rebin(bin, Some(WarmSeries { panel, pools })).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use foreshadow_forecast::{ForecastError, Forecaster, QuantileForecast, SeriesId};
    use foreshadow_types::EntityId;

    use super::*;
    use crate::{
        inference::{Inference, Question},
        numbers::ForecastNumbers,
    };

    const BIN: Duration = Duration::from_mins(5);

    /// Takes in the past only when it is let, and says how many bins it has taken in.
    struct Slow {
        name: &'static str,
        let_go: mpsc::Receiver<()>,
        bins: usize,
    }

    impl Forecaster for Slow {
        fn name(&self) -> &str {
            self.name
        }

        fn catch_up(&mut self, past: &Panel) {
            if self.let_go.recv().is_ok() {
                self.bins = past.bins();
            }
        }

        fn forecast(
            &mut self,
            panel: &Panel,
            _: &[usize],
            horizon: usize,
            levels: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            let missed = (panel.bins() - self.bins) as f32;
            let one = QuantileForecast::from_points(levels, &vec![missed; horizon]);
            Ok(vec![vec![one; panel.ids().len()]])
        }
    }

    fn slow(name: &'static str) -> (mpsc::Sender<()>, Successor) {
        let (go, let_go) = mpsc::channel();
        let model = Box::new(Slow {
            name,
            let_go,
            bins: 0,
        });
        let successor = Successor {
            model,
            interval: Some(BIN),
            warm: panel(0),
        };
        (go, successor)
    }

    fn panel(bins: usize) -> Arc<Panel> {
        let id = SeriesId::of_entity(EntityId::new("ada").unwrap(), "cpu");
        let start = Timestamp::from_millis(0);
        Arc::new(Panel::new(start, BIN, vec![id], bins, vec![1.0; bins]))
    }

    async fn tick(inference: &Inference, bins: usize) -> (String, bool, f32) {
        let question = Question {
            panel: panel(bins),
            horizon: 1,
            wishes: Vec::new(),
            within: Duration::from_secs(10),
        };
        let numbers = ForecastNumbers::default();
        let one = inference.forecast(question, &numbers).await.forecasts;
        let missed = one[0].quantiles.quantile(0, 0.5);
        (one[0].model.to_string(), one[0].fallback, missed)
    }

    #[tokio::test]
    async fn the_model_in_use_forecasts_every_tick_until_the_next_has_caught_up() {
        let (_keep, old) = slow("old");
        let inference = Inference::start(old.model).unwrap();
        let (go, new) = slow("new");
        let mut succession = Some(Succession::begin(new, &panel(577)).unwrap());
        for bins in 577..580 {
            let answer = tick(&inference, bins).await;
            assert_eq!((answer.0.as_str(), answer.1), ("old", false));
            let early = timeout(Duration::ZERO, Succession::arrived(&mut succession)).await;
            assert!(early.is_err(), "it has not been let go");
        }
        go.send(()).unwrap();
        let new = Succession::arrived(&mut succession).await.unwrap();
        assert!(succession.as_ref().unwrap().is_behind(&panel(580)));
        let again = Succession::begin(new, &panel(580)).unwrap();
        assert!(!again.is_behind(&panel(582)));
        go.send(()).unwrap();
        let new = Succession::arrived(&mut Some(again)).await.unwrap();
        inference.swap(new.model).await;
        assert_eq!(tick(&inference, 581).await, ("new".to_owned(), false, 1.0));
    }

    #[tokio::test]
    async fn a_model_that_fails_on_the_way_is_told() {
        let (go, new) = slow("new");
        let broken = Successor {
            model: Box::new(Panics(go)),
            ..new
        };
        let mut succession = Some(Succession::begin(broken, &panel(3)).unwrap());
        assert!(Succession::arrived(&mut succession).await.is_err());
    }

    struct Panics(mpsc::Sender<()>);

    impl Forecaster for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }

        fn catch_up(&mut self, _: &Panel) {
            let _ = self.0.send(());
            panic!("as asked");
        }

        fn forecast(
            &mut self,
            _: &Panel,
            _: &[usize],
            _: usize,
            _: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            Err(ForecastError::Failed("as asked".to_owned()))
        }
    }
}
