//! Promotion: a candidate becomes the current model only where it is better.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use foreshadow_forecast::{
    Evaluation, EvaluationError, Forecaster, Panel, Protocol, mean_magnitude, pinball_loss,
};

use crate::files;

const CURRENT: &str = "current";

/// What the gate found: losses in units of each series' own size, so that metrics of other units
/// count alike.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct GateReport {
    /// Mean pinball loss of the candidate on the latest windows.
    pub candidate: f64,
    /// That of the current model, if there is one that answers.
    pub current: Option<f64>,
    /// That of the best baseline.
    pub baseline: f64,
    /// In how many of the windows the candidate is better than the current model, or without one
    /// than the best baseline.
    pub won: usize,
    /// How many windows there are.
    pub windows: usize,
}

impl GateReport {
    /// Whether the candidate takes over: its loss is a number and lower than the current model's,
    /// no higher than the baseline's, and it is better in more than half of the windows. So a stretch
    /// of garbage at the end of the history, whatever its size, does not decide.
    pub fn promotes(&self) -> bool {
        let better = self
            .current
            .is_none_or(|current| !current.is_finite() || self.candidate < current);
        let no_worse = !self.baseline.is_finite() || self.candidate <= self.baseline;
        self.candidate.is_finite() && better && no_worse && 2 * self.won > self.windows
    }
}

/// Compares models on the last windows of `panel`, which none may have been fitted to.
///
/// # Errors
/// [`EvaluationError`] if the candidate fails or the panel is too short. A current model or a baseline
/// that fails counts as absent.
pub fn compare(
    panel: &Panel,
    protocol: Protocol,
    candidate: &mut dyn Forecaster,
    current: Option<&mut dyn Forecaster>,
    baselines: &mut [&mut dyn Forecaster],
) -> Result<GateReport, EvaluationError> {
    let scales: Vec<f64> = (0..panel.ids().len())
        .map(|series| mean_magnitude(panel.series(series)).unwrap_or(0.0))
        .collect();
    let evaluation = Evaluation::new(panel, protocol)?;
    let losses = |model: &mut dyn Forecaster| window_losses(&evaluation, model, &scales);
    let candidate = losses(candidate)?;
    let current = current.and_then(|model| losses(model).ok());
    let baselines = baselines
        .iter_mut()
        .filter_map(|baseline| losses(&mut **baseline).ok());
    let baseline = baselines.min_by(|a, b| mean(a).total_cmp(&mean(b)));
    let baseline = baseline.unwrap_or_default();
    let rival = current.as_ref().unwrap_or(&baseline);
    let won = candidate.iter().filter(|(window, loss)| {
        let rival = rival.get(window).copied().unwrap_or(f64::INFINITY);
        **loss < rival || rival.is_nan()
    });
    Ok(GateReport {
        won: won.count(),
        windows: candidate.len(),
        candidate: mean(&candidate),
        current: current.as_ref().map(mean),
        baseline: mean(&baseline),
    })
}

/// The mean loss of each window, by its first bin.
fn window_losses(
    evaluation: &Evaluation<'_>,
    model: &mut dyn Forecaster,
    scales: &[f64],
) -> Result<BTreeMap<usize, f64>, EvaluationError> {
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    evaluation.score(model, |scored| {
        let scale = scales[scored.series];
        let levels = scored.forecast.levels();
        for (step, actual) in scored.actual.iter().enumerate() {
            if !actual.is_finite() || scale <= 0.0 {
                continue;
            }
            let quantiles = levels.iter().zip(scored.forecast.step(step));
            let loss: f64 = quantiles
                .map(|(level, value)| pinball_loss(*level, f64::from(*value), f64::from(*actual)))
                .sum();
            let sum = sums.entry(scored.origin).or_default();
            sum.0 += loss / levels.len().max(1) as f64 / scale;
            sum.1 += 1.0;
        }
        Ok::<(), EvaluationError>(())
    })?;
    let means = sums.into_iter();
    Ok(means
        .map(|(window, (sum, points))| (window, sum / points))
        .collect())
}

fn mean(losses: &BTreeMap<usize, f64>) -> f64 {
    losses.values().sum::<f64>() / losses.len() as f64
}

/// The folder of the current model in a folder of models; `None` if none was promoted.
///
/// # Errors
/// If the pointer cannot be read or does not name a folder in `models`.
pub fn current_model(models: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_to_string(models.join(CURRENT)) {
        Ok(name) => Ok(Some(models.join(checked(name.trim())?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the model in the subfolder `name` of `models` the current one, in one atomic step.
///
/// # Errors
/// If `name` is not one of its folders or the pointer cannot be written.
pub fn promote(models: &Path, name: &str) -> io::Result<()> {
    let folder = models.join(checked(name)?);
    if !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{}: no model to promote there", folder.display()),
        ));
    }
    files::write_atomically(&models.join(CURRENT), format!("{name}\n").as_bytes())
}

fn checked(name: &str) -> io::Result<&str> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{name}` does not name a model's folder"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_forecast::{ForecastError, QuantileForecast, SeriesId};
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;

    #[test]
    fn a_candidate_takes_over_only_with_a_lower_loss() {
        let promotes = |candidate, current| {
            GateReport {
                candidate,
                current,
                baseline: 1.05,
                won: 5,
                windows: 8,
            }
            .promotes()
        };
        assert!(promotes(1.0, None));
        assert!(promotes(1.0, Some(1.1)));
        assert!(!promotes(1.0, Some(1.0)));
        assert!(!promotes(1.07, Some(1.1)), "the baseline is better");
        assert!(!promotes(f64::NAN, Some(1.0)));
        assert!(!promotes(f64::NAN, None));
        assert!(promotes(1.0, Some(f64::NAN)));
    }

    /// A number for the windows before a bin and another for those after.
    struct Steps {
        before: f32,
        from: usize,
        after: f32,
    }

    fn constant(value: f32) -> Steps {
        Steps {
            before: value,
            from: 0,
            after: value,
        }
    }

    impl Forecaster for Steps {
        fn name(&self) -> &'static str {
            "steps"
        }

        fn forecast(
            &mut self,
            panel: &Panel,
            origins: &[usize],
            horizon: usize,
            levels: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            let of = |origin: &usize| {
                let value = if *origin < self.from {
                    self.before
                } else {
                    self.after
                };
                let one = QuantileForecast::from_points(levels, &vec![value; horizon]);
                vec![one; panel.ids().len()]
            };
            Ok(origins.iter().map(of).collect())
        }
    }

    fn compared(values: Vec<f32>, mut candidate: Steps, mut current: Steps) -> GateReport {
        let id = SeriesId::of_entity(EntityId::new("ada").unwrap(), "cpu".to_owned());
        let bins = values.len();
        let start = Timestamp::from_millis(0);
        let panel = Panel::new(start, Duration::from_mins(5), vec![id], bins, values);
        let protocol = Protocol {
            horizon: 6,
            windows: 8,
            season: 12,
        };
        let baseline = &mut constant(1e9);
        compare(
            &panel,
            protocol,
            &mut candidate,
            Some(&mut current),
            &mut [&mut constant(1e9), baseline],
        )
        .unwrap()
    }

    #[test]
    fn an_hour_of_garbage_does_not_promote_a_model_that_was_fitted_to_it() {
        let mut values = vec![5.0; 240];
        let garbage = values.len() - 12;
        values[garbage..].fill(1e6);
        let fitted_to_it = Steps {
            before: 6.0,
            from: garbage,
            after: 1e6,
        };
        let report = compared(values, fitted_to_it, constant(5.0));
        assert!(report.candidate < report.current.unwrap(), "{report:?}");
        assert_eq!((report.won, report.windows), (2, 8));
        assert!(!report.promotes());
    }

    #[test]
    fn a_new_rhythm_promotes_the_model_that_knows_it() {
        let mut values = vec![5.0; 240];
        values[180..].fill(50.0);
        let report = compared(values, constant(49.0), constant(5.0));
        assert_eq!((report.won, report.windows), (8, 8));
        assert!(report.promotes());
    }

    #[test]
    fn the_current_model_is_the_one_promoted_last() {
        let models = tempfile::tempdir().unwrap();
        assert_eq!(current_model(models.path()).unwrap(), None);
        for name in ["one", "two"] {
            fs::create_dir(models.path().join(name)).unwrap();
            promote(models.path(), name).unwrap();
            assert_eq!(
                current_model(models.path()).unwrap(),
                Some(models.path().join(name))
            );
        }
        assert!(promote(models.path(), "three").is_err());
        assert!(promote(models.path(), "../two").is_err());
    }
}
