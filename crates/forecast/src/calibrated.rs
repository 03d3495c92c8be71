//! A model with the online calibration of serving, for measuring it: what moves the quantiles of a
//! forecast are only values before it.

use std::sync::Arc;

use crate::{Calibrator, ForecastError, Forecaster, Panel, QuantileForecast, SeriesId, SeriesKind};

/// How many forecasts are learnt from within the time that one reaches ahead.
const LEARNT_A_HORIZON: usize = 12;

/// How many horizons before the first forecast are learnt from.
const LEAD: usize = 6;

/// The most quantile values that are held at once while the past is learnt from (256 MiB).
const MAX_VALUES_AT_ONCE: usize = 64 << 20;

/// A model whose quantiles are moved to where they would have been right lately: those of one metric
/// together, those of each pool by themselves.
pub struct Calibrated<'m> {
    model: &'m mut dyn Forecaster,
    calibrator: Option<Calibrator<Group>>,
    /// The next bin to be lived through.
    next: usize,
}

type Group = (SeriesKind, Arc<str>);

impl<'m> Calibrated<'m> {
    /// With nothing learnt yet.
    pub fn new(model: &'m mut dyn Forecaster) -> Self {
        Self {
            model,
            calibrator: None,
            next: 0,
        }
    }

    /// Lives through the bins up to the last of `wanted`, forecasting at each of `origins`; gives the
    /// calibrated forecasts of those that are `wanted`.
    fn live_through(
        &mut self,
        calibrator: &mut Calibrator<Group>,
        panel: &Panel,
        (origins, wanted): (&[usize], &[usize]),
        (horizon, levels): (usize, &[f64]),
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let groups: Vec<Group> = panel.ids().iter().map(group_of).collect();
        let mut answers = Vec::with_capacity(wanted.len());
        let of_origin = (groups.len() * horizon * levels.len()).max(1);
        for some in origins.chunks((MAX_VALUES_AT_ONCE / of_origin).max(1)) {
            let forecasts = self.model.forecast(panel, some, horizon, levels)?;
            for (&origin, raw) in some.iter().zip(forecasts) {
                observe(calibrator, panel, self.next..origin);
                self.next = self.next.max(origin);
                calibrator.advance(origin as u64);
                let mut moved = Vec::with_capacity(raw.len());
                for (series, (group, raw)) in groups.iter().zip(&raw).enumerate() {
                    let calibrated = calibrator.calibrate(group, raw);
                    calibrator.issued(group, series as u64, origin as u64, raw, &calibrated);
                    moved.push(calibrated);
                }
                if wanted.binary_search(&origin).is_ok() {
                    answers.push(moved);
                }
            }
        }
        Ok(answers)
    }
}

impl Forecaster for Calibrated<'_> {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let (Some(&first), Some(&last)) = (origins.first(), origins.last()) else {
            return Ok(Vec::new());
        };
        let every = (horizon / LEARNT_A_HORIZON).max(1);
        let earliest = self.next.max(first.saturating_sub(LEAD * horizon)).max(1);
        let mut all: Vec<usize> = (earliest..=last)
            .step_by(every)
            .chain(origins.to_vec())
            .collect();
        all.sort_unstable();
        all.dedup();
        self.next = self.next.max(earliest);
        let fresh = || Calibrator::new(levels);
        let mut calibrator = self.calibrator.take().unwrap_or_else(fresh);
        let answers = self.live_through(&mut calibrator, panel, (&all, origins), (horizon, levels));
        self.calibrator = Some(calibrator);
        answers
    }
}

/// Shows the values of some bins; what was forecast of each is settled when it has closed.
fn observe(calibrator: &mut Calibrator<Group>, panel: &Panel, bins: std::ops::Range<usize>) {
    for bin in bins {
        calibrator.advance(bin as u64);
        for series in 0..panel.ids().len() {
            calibrator.observe(series as u64, bin as u64, panel.series(series)[bin]);
        }
    }
}

/// As serving groups them.
fn group_of(id: &SeriesId) -> Group {
    let name = match id.kind {
        SeriesKind::Entity => id.metric.as_str(),
        SeriesKind::Pool => id.entity.as_str(),
    };
    (id.kind, name.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::{EntityId, Timestamp};

    use super::*;
    use crate::{Evaluation, EvaluationError, PLANNING_LEVELS, Protocol};

    /// Says that every value lies between 0.45 and 0.55; they lie between 0 and 1.
    struct Narrow;

    impl Forecaster for Narrow {
        fn name(&self) -> &'static str {
            "narrow"
        }

        fn forecast(
            &mut self,
            panel: &Panel,
            origins: &[usize],
            horizon: usize,
            levels: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            let step: Vec<f32> = levels
                .iter()
                .map(|level| 0.45 + 0.1 * *level as f32)
                .collect();
            let one = QuantileForecast::new(levels, step.repeat(horizon));
            Ok(vec![vec![one; panel.ids().len()]; origins.len()])
        }
    }

    fn panel(bins: usize) -> Panel {
        let id = |i: usize| SeriesId::of_entity(EntityId::new(&format!("vm-{i}")).unwrap(), "load");
        let mut state = 7_u64;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let values = (0..20 * bins).map(|_| draw()).collect();
        let ids = (0..20).map(id).collect();
        Panel::new(
            Timestamp::from_millis(0),
            Duration::from_mins(5),
            ids,
            bins,
            values,
        )
    }

    fn evaluated(panel: &Panel, model: &mut dyn Forecaster) -> (f64, Vec<QuantileForecast>) {
        let protocol = Protocol {
            horizon: 12,
            windows: 10,
            season: 1,
        };
        let evaluation = Evaluation::new(panel, protocol)
            .unwrap()
            .at_levels(&PLANNING_LEVELS);
        let mut forecasts = Vec::new();
        let sums = evaluation.score::<EvaluationError>(model, |scored| {
            forecasts.push(scored.forecast.clone());
            Ok(())
        });
        (sums.unwrap().accuracy().coverage_80, forecasts)
    }

    #[test]
    fn intervals_cover_what_they_state() {
        let panel = panel(400);
        let (raw, _) = evaluated(&panel, &mut Narrow);
        let (calibrated, _) = evaluated(&panel, &mut Calibrated::new(&mut Narrow));
        assert!(raw < 0.2, "{raw}");
        assert!((calibrated - 0.8).abs() < 0.05, "{calibrated}");
    }

    #[test]
    fn no_forecast_knows_of_what_comes_after_it() {
        let whole = panel(400);
        let values = (0..20).flat_map(|series| {
            let values = whole.series(series).iter().enumerate();
            values.map(|(bin, value)| if bin < 340 { *value } else { 1e6 })
        });
        let changed = Panel::new(
            whole.start(),
            whole.interval(),
            whole.ids().to_vec(),
            400,
            values.collect(),
        );
        let (_, before) = evaluated(&whole, &mut Calibrated::new(&mut Narrow));
        let (_, after) = evaluated(&changed, &mut Calibrated::new(&mut Narrow));
        // Six windows begin before the change or with it.
        let same = 6 * 20;
        assert_eq!(before[..same], after[..same]);
        assert_ne!(before, after);
    }
}
