//! What forecasts until there is a model of one's own: the pretrained network where bins are about as wide
//! as those that it was trained on, else what was a day before.

use std::time::Duration;

use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast, SeriesId};
use foreshadow_lstm::Compute;
use foreshadow_training::LoadedModel;

use super::seasonal_naive;
use crate::retraining::CarriedLstm;

/// As reports and the list of models name it.
pub const PRETRAINED: &str = "pretrained";

/// What it is called where the pretrained network does not answer.
const NAIVE: &str = "seasonal-naive";

/// How much narrower bins may be than those that the network was trained on. It knows of hours and days, and
/// little of bins: `docs/forecasting.md` has what this costs.
const NARROWEST: u128 = 10;

/// The pretrained network, and seasonal-naive for what it cannot forecast.
pub(crate) struct Untrained {
    pretrained: Option<LoadedModel>,
    /// The network at the width of bins that it was last asked at, where it can answer there.
    carried: Option<(Duration, CarriedLstm)>,
    /// Whether it answered when it was last asked.
    answered: bool,
}

impl Untrained {
    /// Without the pretrained network everything is seasonal-naive.
    pub(crate) fn new(pretrained: bool) -> Self {
        let loaded = pretrained.then(foreshadow_training::pretrained);
        let loaded = loaded.and_then(|read| {
            let warn = |error: &_| tracing::error!(%error, "the pretrained model cannot be read");
            read.inspect_err(warn).ok()
        });
        Self {
            pretrained: loaded,
            carried: None,
            answered: false,
        }
    }

    /// The same, whose network is computed there.
    pub(crate) fn on(mut self, compute: &Compute) -> Self {
        self.pretrained = self.pretrained.map(|model| model.on(compute));
        self
    }

    /// The network at this width of bins; `None` where it cannot answer.
    fn network(&mut self, interval: Duration) -> Option<&mut CarriedLstm> {
        if self.carried.as_ref().is_none_or(|(at, _)| *at != interval) {
            let fits = |model: &&LoadedModel| fits(interval, model.manifest.interval());
            let model = self.pretrained.as_ref().filter(fits);
            let carried = |model: &LoadedModel| CarriedLstm::new(model.network.clone(), interval);
            self.carried = model.map(|model| (interval, carried(model)));
        }
        self.carried.as_mut().map(|(_, network)| network)
    }
}

impl Forecaster for Untrained {
    fn name(&self) -> &str {
        match self.carried {
            Some(_) => PRETRAINED,
            None => NAIVE,
        }
    }

    fn name_of(&self, _: &SeriesId) -> &str {
        if self.answered { PRETRAINED } else { NAIVE }
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let network = self.network(panel.interval());
        let answer = network.map(|network| network.forecast(panel, origins, horizon, levels));
        self.answered = !matches!(answer, None | Some(Err(ForecastError::Horizon { .. })));
        match answer {
            None | Some(Err(ForecastError::Horizon { .. })) => {
                seasonal_naive(panel.interval()).forecast(panel, origins, horizon, levels)
            }
            Some(answer) => answer,
        }
    }

    fn catch_up(&mut self, past: &Panel) {
        if let Some(network) = self.network(past.interval()) {
            network.catch_up(past);
        }
    }
}

/// Whether bins are as wide as those of a model, several of them, or a part of one.
fn fits(interval: Duration, model: Duration) -> bool {
    let (asked, own) = (interval.as_millis().max(1), model.as_millis().max(1));
    asked.is_multiple_of(own) || (own.is_multiple_of(asked) && own / asked <= NARROWEST)
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::PLANNING_LEVELS;
    use foreshadow_types::{EntityId, PoolName, Timestamp};

    use super::*;
    use crate::planning::REQUESTS;

    fn panel(interval: Duration, bins: usize) -> Panel {
        let (ada, pool) = (EntityId::new("ada").unwrap(), PoolName::new("web").unwrap());
        let ids = vec![
            SeriesId::of_entity(ada.clone(), "cpu"),
            SeriesId::of_entity(ada, REQUESTS),
            SeriesId::of_pool(&pool, REQUESTS),
        ];
        let of = |scale| (0..bins).map(move |bin| scale * (2 + bin % 5) as f32);
        let values = of(10.0).chain(of(1.0)).chain(of(3.0)).collect();
        Panel::new(Timestamp::from_millis(0), interval, ids, bins, values)
    }

    fn asked(model: &mut Untrained, panel: &Panel, horizon: usize) -> Vec<QuantileForecast> {
        let answers = model.forecast(panel, &[panel.bins()], horizon, &PLANNING_LEVELS);
        answers.unwrap().remove(0)
    }

    fn width(forecast: &QuantileForecast) -> f32 {
        forecast.quantile(0, 0.9) - forecast.quantile(0, 0.1)
    }

    #[test]
    fn at_its_bins_and_at_wider_and_narrower_ones_the_pretrained_network_answers() {
        let mut model = Untrained::new(true);
        for seconds in [30, 60, 300, 900, 3600] {
            let panel = panel(Duration::from_secs(seconds), 40);
            let answers = asked(&mut model, &panel, 6);
            assert_eq!(model.name(), PRETRAINED);
            for (id, answer) in panel.ids().iter().zip(&answers) {
                assert_eq!(model.name_of(id), PRETRAINED);
                assert!(width(answer) > 0.0, "{seconds} s: {id:?}");
            }
        }
    }

    #[test]
    fn at_bins_of_no_kin_and_when_switched_off_all_is_seasonal_naive() {
        for (pretrained, seconds) in [(true, 10), (true, 420), (false, 300)] {
            let mut model = Untrained::new(pretrained);
            let answers = asked(&mut model, &panel(Duration::from_secs(seconds), 40), 6);
            assert_eq!(model.name(), NAIVE);
            assert!(answers.iter().all(|forecast| width(forecast) == 0.0));
        }
    }

    #[test]
    fn beyond_its_horizon_all_is_seasonal_naive() {
        let mut model = Untrained::new(true);
        let panel = panel(Duration::from_hours(1), 40);
        let answers = asked(&mut model, &panel, 7 * 24 + 1);
        assert_eq!(width(&answers[0]), 0.0);
        assert_eq!(model.name_of(&panel.ids()[0]), NAIVE);
        // It is the one in use all the same.
        assert_eq!(model.name(), PRETRAINED);
    }

    #[test]
    fn having_caught_up_changes_no_forecast() {
        let five = Duration::from_mins(5);
        let (mut caught_up, mut fresh) = (Untrained::new(true), Untrained::new(true));
        caught_up.catch_up(&panel(five, 30));
        let ahead = [&mut caught_up, &mut fresh].map(|model| asked(model, &panel(five, 33), 4));
        for step in 0..4 {
            for (a, b) in ahead[0][0].step(step).iter().zip(ahead[1][0].step(step)) {
                assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} is not {b}");
            }
        }
    }
}
