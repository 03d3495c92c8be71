//! Exponential smoothing.

use augurs::{Fit, Predict, ets::AutoETS};
use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast};

use crate::{
    fit::{NormalForecast, forecast_all, is_constant},
    normal::INTERVAL,
};

/// Bins of the past that are looked at. Smoothing forgets exponentially, so a longer context changes
/// the forecast little and costs in proportion.
pub(crate) const CONTEXT: usize = 192;

/// Automatic exponential smoothing without season (error, trend and damping chosen by `AICc`), after
/// Hyndman and Khandakar (2008), with normal quantiles.
///
/// It looks at the last 192 bins, imputed with the last value. Where no model can be fitted, the last
/// value is repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ets;

impl Forecaster for Ets {
    fn name(&self) -> &'static str {
        "ets"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        Ok(forecast_all(
            panel,
            origins,
            horizon,
            levels,
            CONTEXT,
            |context, _| fit(context, horizon),
        ))
    }
}

fn fit(context: &[f64], horizon: usize) -> Option<NormalForecast> {
    if is_constant(context) {
        return None;
    }
    let fitted = search().fit(context).ok()?;
    let forecast = fitted.predict(horizon, INTERVAL.0).ok()?;
    NormalForecast::from_interval(&forecast)
}

/// The search for the best model without season. Errors are additive: multiplicative ones grow beyond
/// all bounds at long horizons where a series was near zero before.
pub(crate) fn search() -> AutoETS {
    AutoETS::new(1, "AZN").expect("augurs knows this specification")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_forecast::SeriesId;
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;
    use crate::{Mstl, Prophet};

    fn panel(values: Vec<f32>) -> Panel {
        let id = SeriesId::of_entity(EntityId::new("vm").unwrap(), "load".to_owned());
        let start = Timestamp::from_millis(0);
        Panel::new(
            start,
            Duration::from_mins(5),
            vec![id],
            values.len(),
            values,
        )
    }

    fn median_and_width(model: &mut dyn Forecaster, panel: &Panel) -> (f32, f32) {
        let levels = [0.1, 0.5, 0.9];
        let forecasts = model.forecast(panel, &[panel.bins()], 4, &levels).unwrap();
        let last = forecasts[0][0].step(3).to_vec();
        (last[1], last[2] - last[0])
    }

    #[test]
    fn a_line_is_continued() {
        let panel = panel((0..100).map(|i| i as f32).collect());
        let (median, width) = median_and_width(&mut Ets, &panel);
        assert!((median - 103.0).abs() < 0.5, "{median}");
        assert!(width < 2.0, "{width}");
    }

    #[test]
    fn a_season_is_repeated() {
        let wave = |i: usize| 10.0 + 5.0 * (i as f32 * std::f32::consts::TAU / 24.0).sin();
        let panel = panel(
            (0..240)
                .map(|i| wave(i) + 0.1 * ((i * 7919 % 13) as f32))
                .collect(),
        );
        let (median, _) = median_and_width(&mut Mstl::new(24), &panel);
        assert!((median - wave(243) - 0.6).abs() < 0.8, "{median}");
    }

    #[test]
    fn what_cannot_be_fitted_is_forecast_naively() {
        let nothing = vec![f32::NAN; 10];
        for (values, expected) in [
            (vec![3.0; 50], 3.0),
            (nothing, 0.0),
            (vec![2.0], 2.0),
            (Vec::new(), 0.0),
            (vec![1.0, f32::NAN, 2.0], 2.0),
        ] {
            let panel = panel(values);
            for model in [
                &mut Ets as &mut dyn Forecaster,
                &mut Mstl::new(24),
                &mut Prophet,
            ] {
                let (median, _) = median_and_width(model, &panel);
                assert!(
                    (median - expected).abs() < 1e-6,
                    "{}: {median}",
                    model.name()
                );
            }
        }
    }

    #[test]
    fn a_series_that_leaves_zero_is_not_forecast_beyond_all_bounds() {
        for busy in 1..40 {
            let value = |i: usize| {
                let noise = (i * 7919 % 13) as f32;
                let load = if i + busy < 192 { 0.01 } else { 1_500.0 };
                load * (1.0 + noise)
            };
            let panel = panel((0..192).map(value).collect());
            let forecasts = Ets.forecast(&panel, &[192], 480, &[0.5, 0.9]).unwrap();
            let far = forecasts[0][0].step(479)[1];
            assert!(far < 1e7, "{busy}: {far}");
        }
    }

    #[test]
    fn a_series_that_was_never_negative_stays_so() {
        let panel = panel(
            (0..80)
                .map(|i| if i % 9 == 0 { 7.0 } else { 0.0 })
                .collect(),
        );
        let forecasts = Ets.forecast(&panel, &[80], 20, &[0.01, 0.5]).unwrap();
        assert!((0..20).all(|step| forecasts[0][0].step(step)[0] >= 0.0));
    }
}
