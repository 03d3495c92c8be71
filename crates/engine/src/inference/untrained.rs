//! What forecasts until there is a model of one's own: for usage the pretrained network, at the width of
//! its bins and whole multiples; for all else, what was a day before.

use std::time::Duration;

use foreshadow_forecast::{
    ForecastError, Forecaster, Panel, QuantileForecast, SeriesId, SeriesKind,
};
use foreshadow_lstm::Compute;
use foreshadow_training::LoadedModel;

use super::seasonal_naive;
use crate::{planning::REQUESTS, retraining::CarriedLstm};

/// As reports and the list of models name it.
pub const PRETRAINED: &str = "pretrained";

/// What it is called where the pretrained network does not answer.
const NAIVE: &str = "seasonal-naive";

/// The pretrained network and seasonal-naive, each for what it can.
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

    /// The network at this width of bins, and which series it forecasts; `None` where it cannot.
    fn of_usage(&mut self, panel: &Panel) -> Option<(&mut CarriedLstm, Vec<usize>)> {
        let interval = panel.interval();
        if self.carried.as_ref().is_none_or(|(at, _)| *at != interval) {
            let fits = |model: &&LoadedModel| fits(interval, model.manifest.interval());
            let model = self.pretrained.as_ref().filter(fits);
            let carried = |model: &LoadedModel| CarriedLstm::new(model.network.clone(), interval);
            self.carried = model.map(|model| (interval, carried(model)));
        }
        let (_, carried) = self.carried.as_mut()?;
        let ids = panel.ids().iter().enumerate();
        let usage = ids.filter(|(_, id)| is_usage(id)).map(|(index, _)| index);
        let usage: Vec<usize> = usage.collect();
        (!usage.is_empty()).then_some((carried, usage))
    }
}

impl Forecaster for Untrained {
    fn name(&self) -> &str {
        match self.carried {
            Some(_) => PRETRAINED,
            None => NAIVE,
        }
    }

    fn name_of(&self, series: &SeriesId) -> &str {
        let pretrained = self.answered && is_usage(series);
        if pretrained { PRETRAINED } else { NAIVE }
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let mut naive = seasonal_naive(panel.interval());
        let mut answers = naive.forecast(panel, origins, horizon, levels)?;
        self.answered = false;
        let Some((network, usage)) = self.of_usage(panel) else {
            return Ok(answers);
        };
        let better = if usage.len() == panel.ids().len() {
            network.forecast(panel, origins, horizon, levels)
        } else {
            network.forecast(&panel.only(&usage), origins, horizon, levels)
        };
        if matches!(better, Err(ForecastError::Horizon { .. })) {
            return Ok(answers);
        }
        let better = better?;
        self.answered = true;
        for (answer, better) in answers.iter_mut().zip(better) {
            for (&series, forecast) in usage.iter().zip(better) {
                answer[series] = forecast;
            }
        }
        Ok(answers)
    }

    fn catch_up(&mut self, past: &Panel) {
        if let Some((network, usage)) = self.of_usage(past) {
            network.catch_up(&past.only(&usage));
        }
    }
}

fn is_usage(id: &SeriesId) -> bool {
    id.kind == SeriesKind::Entity && id.metric != REQUESTS
}

/// Whether bins are as wide as those of a model or several of them.
fn fits(interval: Duration, model: Duration) -> bool {
    let (asked, own) = (interval.as_millis(), model.as_millis().max(1));
    asked > 0 && asked.is_multiple_of(own)
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::PLANNING_LEVELS;
    use foreshadow_types::{EntityId, PoolName, Timestamp};

    use super::*;

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
    fn usage_at_its_bins_or_wider_ones_comes_from_the_pretrained_network() {
        let mut model = Untrained::new(true);
        for minutes in [5, 15, 60] {
            let panel = panel(Duration::from_mins(minutes), 40);
            let answers = asked(&mut model, &panel, 6);
            assert_eq!(
                panel
                    .ids()
                    .iter()
                    .map(|id| model.name_of(id))
                    .collect::<Vec<_>>(),
                [PRETRAINED, NAIVE, NAIVE]
            );
            assert!(width(&answers[0]) > 0.0, "{minutes}");
            assert_eq!(width(&answers[1]).max(width(&answers[2])), 0.0);
        }
    }

    #[test]
    fn at_finer_bins_and_when_switched_off_all_is_seasonal_naive() {
        for (pretrained, minutes) in [(true, 1), (true, 7), (false, 5)] {
            let mut model = Untrained::new(pretrained);
            let answers = asked(&mut model, &panel(Duration::from_mins(minutes), 40), 6);
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
