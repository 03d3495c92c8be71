//! The models beside the one in use, which pools may be forecast by.

use std::{sync::Arc, time::Duration};

use foreshadow_classical::{Ets, Mstl, Prophet};
use foreshadow_forecast::{Choice, Naive, Panel, QuantileForecast, SeasonalNaive};

use super::{BoxedForecaster, from_the_end, standby::season_bins};
use crate::{
    clock::Stopwatch,
    config::{PoolModel, SimpleModel},
};

/// A series of a batch that is not simply the model in use's to forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) series: usize,
    pub(crate) model: PoolModel,
}

/// A forecast and the name of the model that gave it.
pub(super) type Named = (QuantileForecast, Arc<str>);

/// The models, and which of them did best on the series that leave the choice to us.
#[derive(Debug)]
pub(super) struct Others {
    interval: Duration,
    choice: Choice,
}

impl Others {
    pub(super) fn new() -> Self {
        Self {
            interval: Duration::ZERO,
            choice: Choice::new(1 + SimpleModel::ALL.len()),
        }
    }

    /// Replaces the forecasts of the series with a wish. Where a model fails, or time runs out before it
    /// has begun, the forecast of the model in use stays.
    pub(super) fn grant(
        &mut self,
        panel: &Panel,
        wishes: &[Wish],
        forecasts: &mut [Named],
        (since, within): (Stopwatch, Duration),
    ) {
        if panel.interval() != self.interval {
            *self = Self::new();
            self.interval = panel.interval();
        }
        let free: Vec<usize> = series(wishes, PoolModel::Auto);
        let mut by_model = vec![free.iter().map(|&one| forecasts[one].0.clone()).collect()];
        for simple in SimpleModel::ALL {
            let fixed = series(wishes, PoolModel::Always(simple));
            let all: Vec<usize> = fixed.iter().chain(&free).copied().collect();
            if all.is_empty() || since.elapsed() >= within {
                continue;
            }
            let horizon = forecasts[all[0]].0.horizon();
            let mut model = model_of(simple, season_bins(panel.interval()));
            let answers = from_the_end(model.as_mut(), &panel.only(&all), horizon);
            let Ok(mut answers) = answers.inspect_err(|error| {
                tracing::warn!(model = simple.name(), %error, "the forecast of pools failed");
            }) else {
                continue;
            };
            by_model.push(answers.split_off(fixed.len()));
            for (&one, answer) in fixed.iter().zip(answers) {
                forecasts[one] = (answer, simple.name().into());
            }
        }
        if by_model.len() > SimpleModel::ALL.len() {
            self.choose(panel, &free, &by_model, forecasts);
        }
    }

    fn choose(
        &mut self,
        panel: &Panel,
        free: &[usize],
        by_model: &[Vec<QuantileForecast>],
        forecasts: &mut [Named],
    ) {
        let panel = panel.only(free);
        let chosen = self.choice.choose(&panel, panel.bins(), by_model);
        for ((place, model), &series) in chosen.into_iter().enumerate().zip(free) {
            // The first is the model in use, whose forecast is there already.
            if let Some(simple) = model.checked_sub(1).map(|model| SimpleModel::ALL[model]) {
                forecasts[series] = (by_model[model][place].clone(), simple.name().into());
            }
        }
    }
}

fn series(wishes: &[Wish], model: PoolModel) -> Vec<usize> {
    let such = wishes.iter().filter(|wish| wish.model == model);
    such.map(|wish| wish.series).collect()
}

fn model_of(simple: SimpleModel, day: usize) -> BoxedForecaster {
    match simple {
        SimpleModel::Naive => Box::new(Naive),
        SimpleModel::SeasonalNaive => Box::new(SeasonalNaive::new(day)),
        SimpleModel::Ets => Box::new(Ets),
        SimpleModel::Mstl => Box::new(Mstl::new(day)),
        SimpleModel::Prophet => Box::new(Prophet),
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::{PLANNING_LEVELS, SeriesId};
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;

    const DAY: usize = 24;
    const HORIZON: usize = 12;

    /// Two pools that are asked for in the same rhythm, hour by hour.
    fn panel(bins: usize) -> Panel {
        let ids = ["a", "b"]
            .map(|pool| SeriesId::of_entity(EntityId::new(pool).unwrap(), "requests".to_owned()));
        let rhythm = || (0..bins).map(|bin| ((bin % DAY) * 7_919 % 13) as f32);
        let values = rhythm().chain(rhythm()).collect();
        let (start, hour) = (Timestamp::from_millis(0), Duration::from_hours(1));
        Panel::new(start, hour, ids.to_vec(), bins, values)
    }

    /// What the model in use says: far too much.
    fn in_use() -> Vec<Named> {
        let one = QuantileForecast::from_points(&PLANNING_LEVELS, &[1e3; HORIZON]);
        vec![(one.clone(), "lstm".into()), (one, "lstm".into())]
    }

    fn granted(others: &mut Others, bins: usize, models: [PoolModel; 2]) -> [String; 2] {
        let wish = |(series, model)| Wish { series, model };
        let wishes: Vec<Wish> = models.into_iter().enumerate().map(wish).collect();
        let mut forecasts = in_use();
        let time = (Stopwatch::start(), Duration::from_hours(1));
        others.grant(&panel(bins), &wishes, &mut forecasts, time);
        [0, 1].map(|series| forecasts[series].1.to_string())
    }

    #[test]
    fn a_pool_is_forecast_by_the_model_that_it_names() {
        let mut others = Others::new();
        for model in SimpleModel::ALL {
            let models = [PoolModel::Always(model), PoolModel::InUse];
            assert_eq!(granted(&mut others, 100, models), [model.name(), "lstm"]);
        }
    }

    #[test]
    fn a_pool_that_leaves_the_choice_gets_the_model_that_did_best() {
        let mut others = Others::new();
        let models = [PoolModel::Auto, PoolModel::Always(SimpleModel::Naive)];
        assert_eq!(granted(&mut others, 100, models), ["lstm", "naive"]);
        let later = (101..300).map(|bins| granted(&mut others, bins, models));
        assert_eq!(later.last().unwrap(), ["seasonal-naive", "naive"]);
    }

    #[test]
    fn where_no_time_is_left_the_model_in_use_answers() {
        let wishes = [0, 1].map(|series| Wish {
            series,
            model: PoolModel::Auto,
        });
        let mut forecasts = in_use();
        let time = (Stopwatch::start(), Duration::ZERO);
        Others::new().grant(&panel(100), &wishes, &mut forecasts, time);
        assert!(forecasts.iter().all(|(_, model)| &**model == "lstm"));
    }
}
