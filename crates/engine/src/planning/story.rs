//! The whole of adaptation in virtual time: forecasts, drift, the gate and the change of models over
//! days that pass in a moment.

use std::{sync::Arc, time::Duration};

use foreshadow_forecast::{
    ForecastError, Forecaster, PLANNING_LEVELS, Panel, Protocol, QuantileForecast,
};
use foreshadow_types::{PoolName, Timestamp};

use super::forecasts::Forecasts;
use crate::{
    collector::{GatheredSeries, SeriesKey},
    inference::{Batch, BatchForecast, season_bins, seasonal_naive},
    retraining::holdout,
    views::{GroupAccuracy, GroupKind},
};

const BIN: Duration = Duration::from_mins(5);
const BINS_A_DAY: usize = 288;
/// When the rhythm changes.
const CHANGE: usize = 3 * BINS_A_DAY;
const END: usize = 6 * BINS_A_DAY;

/// The demand of a bin: a tide of a day, from the change on a faster and higher one.
fn demand(bin: usize) -> f32 {
    let (period, height) = if bin < CHANGE {
        (BINS_A_DAY, 20.0)
    } else {
        (36, 60.0)
    };
    let turn = std::f32::consts::TAU * (bin % period) as f32 / period as f32;
    let ripple = ((bin * 7_919) % 5) as f32 * 0.3;
    height * (1.0 + 0.8 * turn.sin()) + ripple
}

/// Repeats what it was fitted to, with the period that fits it best: what a model learns of a
/// rhythm, in a few lines.
#[derive(Clone)]
struct Rhythm {
    period: usize,
    /// By the bin's place in the period.
    values: Vec<f32>,
}

impl Rhythm {
    fn fit(first: usize, seen: &[f32]) -> Self {
        let fits = [36, BINS_A_DAY].into_iter().map(|period| {
            let mut sums = vec![(0.0_f32, 0.0_f32); period];
            for (offset, value) in seen.iter().enumerate() {
                let sum = &mut sums[(first + offset) % period];
                *sum = (sum.0 + value, sum.1 + 1.0);
            }
            let mean = seen.iter().sum::<f32>() / seen.len() as f32;
            let values: Vec<f32> = sums
                .iter()
                .map(|(sum, count)| if *count > 0.0 { sum / count } else { mean })
                .collect();
            let error: f32 = seen
                .iter()
                .enumerate()
                .filter(|(offset, _)| sums[(first + offset) % period].1 > 1.0)
                .map(|(offset, value)| (value - values[(first + offset) % period]).abs())
                .sum();
            let repeated = sums.iter().any(|(_, count)| *count > 1.0);
            (
                if repeated { error } else { f32::MAX },
                Self { period, values },
            )
        });
        let best = fits.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, rhythm)| rhythm).expect("there are two")
    }

    fn at(&self, bin: usize) -> f32 {
        self.values[bin % self.period]
    }
}

impl Forecaster for Rhythm {
    fn name(&self) -> &'static str {
        "rhythm"
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        let first = bin_of(panel.start());
        let of = |origin: &usize| {
            let points: Vec<f32> = (0..horizon)
                .map(|step| self.at(first + origin + step))
                .collect();
            vec![QuantileForecast::from_points(levels, &points)]
        };
        Ok(origins.iter().map(of).collect())
    }
}

fn bin_of(at: Timestamp) -> usize {
    (at.as_millis() / BIN.as_millis() as i64) as usize
}

fn panel(values: &[f32]) -> Panel {
    let keys = [key()];
    let ids = keys.iter().map(SeriesKey::id).collect();
    Panel::new(
        Timestamp::from_millis(0),
        BIN,
        ids,
        values.len(),
        values.to_vec(),
    )
}

fn key() -> SeriesKey {
    SeriesKey::Pool(PoolName::new("web").expect("a name"))
}

fn wape(groups: &[GroupAccuracy]) -> f64 {
    let pool = groups.iter().find(|group| group.kind == GroupKind::Pool);
    pool.and_then(|group| group.wape).unwrap_or(0.0)
}

/// What the service does at each bin, with the real forecasts, drift test and gate.
struct Service {
    seen: Vec<f32>,
    forecasts: Forecasts,
    model: Rhythm,
    drifted_at: Option<usize>,
}

impl Service {
    fn new() -> Self {
        let seen: Vec<f32> = (0..2 * BINS_A_DAY).map(demand).collect();
        Self {
            model: Rhythm::fit(0, &seen),
            seen,
            forecasts: Forecasts::default(),
            drifted_at: None,
        }
    }

    fn step(&mut self, actual: f32) {
        self.seen.push(actual);
        let panel = Arc::new(panel(&self.seen));
        let answer = self
            .model
            .forecast(&panel, &[self.seen.len()], 12, &PLANNING_LEVELS);
        let quantiles = answer.expect("it answers").remove(0).remove(0);
        let series = GatheredSeries {
            panel,
            keys: [key()].into(),
        };
        let forecast = BatchForecast {
            quantiles,
            model: "rhythm".into(),
            fallback: false,
        };
        let batch = Batch {
            forecasts: vec![forecast],
        };
        let drifted = self.forecasts.take(series, batch);
        if !drifted.is_empty() {
            self.drifted_at.get_or_insert(self.seen.len());
        }
    }

    fn held_out() -> usize {
        (holdout(BIN).as_millis() / BIN.as_millis()) as usize
    }

    /// Fits a candidate to what was seen last before the windows that judge it.
    fn candidate(&self, bins: usize) -> Rhythm {
        let end = self.seen.len() - Self::held_out();
        let first = end - bins;
        Rhythm::fit(first, &self.seen[first..end])
    }

    /// Whether the gate lets a candidate take over.
    fn judged(&mut self, mut candidate: Rhythm) -> bool {
        let protocol = Protocol {
            horizon: 6,
            windows: 8,
            season: season_bins(BIN),
        };
        let panel = panel(&self.seen);
        let report = foreshadow_training::compare(
            &panel,
            protocol,
            &mut candidate,
            Some(&mut self.model),
            &mut seasonal_naive(BIN),
        );
        let promotes = report.expect("it can be judged").promotes();
        if promotes {
            self.model = candidate;
        }
        promotes
    }
}

#[test]
fn a_new_rhythm_is_noticed_and_learnt_and_the_error_falls_again() {
    let mut service = Service::new();
    (2 * BINS_A_DAY..CHANGE).for_each(|bin| service.step(demand(bin)));
    let before = wape(&service.forecasts.adaptation());
    assert!(before < 0.1, "{before}");
    assert_eq!(service.drifted_at, None);

    let mut worst = 0.0_f64;
    let mut promoted_at = None;
    for bin in CHANGE..END {
        service.step(demand(bin));
        worst = worst.max(wape(&service.forecasts.adaptation()));
        let settled = service
            .drifted_at
            .is_some_and(|at| bin >= at + 2 * Service::held_out());
        if settled && promoted_at.is_none() {
            let candidate = service.candidate(2 * 36);
            if service.judged(candidate) {
                promoted_at = Some(bin);
            }
        }
    }
    let drifted_at = service.drifted_at.expect("drift is found");
    assert!(
        drifted_at < CHANGE + 60,
        "after {} bins",
        drifted_at - CHANGE
    );
    assert!(worst > 0.3, "the error rises: {worst}");
    assert!(
        promoted_at.is_some_and(|at| at < CHANGE + BINS_A_DAY),
        "{promoted_at:?}"
    );
    let after = wape(&service.forecasts.adaptation());
    assert!(after < 0.15, "the error falls: {after}");
}

#[test]
fn a_training_on_an_hour_of_garbage_is_not_promoted() {
    let mut service = Service::new();
    (2 * BINS_A_DAY..CHANGE).for_each(|bin| service.step(demand(bin)));
    let garbage = |bin: usize| if bin.is_multiple_of(2) { 1e6 } else { -1e6 };
    (CHANGE..CHANGE + 12).for_each(|bin| service.step(garbage(bin)));
    // With the garbage in what judges, and in what is fitted to, and in both.
    let fitted_to_it = Rhythm::fit(CHANGE - 60, &service.seen[CHANGE - 60..]);
    assert!(!service.judged(fitted_to_it.clone()));
    for bin in CHANGE + 12..CHANGE + 12 + Service::held_out() {
        service.step(demand(bin - CHANGE));
    }
    let candidate = service.candidate(72);
    assert!(!service.judged(candidate));
    assert!(!service.judged(fitted_to_it));
}
