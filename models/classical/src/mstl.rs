//! Decomposition into a season and a trend.

use std::{borrow::Cow, error::Error};

use augurs::{
    Fit, Predict,
    ets::trend::AutoETSTrendModel,
    mstl::{FittedTrendModel, MSTLModel, TrendModel},
};
use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast};

use crate::{
    ets,
    fit::{NormalForecast, forecast_all, is_constant},
    normal::INTERVAL,
};

/// Seasons of the past that are looked at.
const SEASONS: usize = 7;

/// Seasonal-trend decomposition (MSTL; Bandara, Hyndman and Bergmeir, 2021): the last season of the
/// decomposition repeats, and exponential smoothing forecasts what is left, with normal quantiles.
///
/// It looks at the last seven seasons, imputed with the last value. Where they hold less than two
/// seasons or nothing can be fitted, the last value is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Mstl {
    season: usize,
}

impl Mstl {
    /// With a season of this many bins.
    pub fn new(season: usize) -> Self {
        Self { season }
    }
}

impl Forecaster for Mstl {
    fn name(&self) -> &'static str {
        "mstl"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let season = self.season;
        let context = season.saturating_mul(SEASONS);
        Ok(forecast_all(
            panel,
            origins,
            horizon,
            levels,
            context,
            |context, _| fit(context, season, horizon),
        ))
    }
}

fn fit(context: &[f64], season: usize, horizon: usize) -> Option<NormalForecast> {
    if season < 2 || context.len() < 2 * season || is_constant(context) {
        return None;
    }
    let trend = RecentTrend(ets::search().into_trend_model());
    let fitted = MSTLModel::new(vec![season], trend).fit(context).ok()?;
    let forecast = fitted.predict(horizon, INTERVAL.0).ok()?;
    NormalForecast::from_interval(&forecast)
}

/// Exponential smoothing of the last bins alone, since it forgets the ones before.
#[derive(Debug)]
struct RecentTrend(AutoETSTrendModel);

impl TrendModel for RecentTrend {
    fn name(&self) -> Cow<'_, str> {
        self.0.name()
    }

    fn fit(
        &self,
        y: &[f64],
    ) -> Result<Box<dyn FittedTrendModel + Sync + Send>, Box<dyn Error + Send + Sync>> {
        self.0.fit(&y[y.len().saturating_sub(ets::CONTEXT)..])
    }
}
