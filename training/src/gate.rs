//! Promotion: a candidate becomes the current model only where it is better.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use foreshadow_forecast::{Evaluation, EvaluationError, Forecaster, Panel, Protocol};

use crate::files;

const CURRENT: &str = "current";

/// What the gate found.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct GateReport {
    /// Mean pinball loss of the candidate on the latest windows.
    pub candidate: f64,
    /// That of the current model, if there is one that answers.
    pub current: Option<f64>,
}

impl GateReport {
    /// Whether the candidate takes over: its loss is a number and lower than the current one's.
    pub fn promotes(&self) -> bool {
        self.candidate.is_finite()
            && self
                .current
                .is_none_or(|current| !current.is_finite() || self.candidate < current)
    }
}

/// Compares both models on the last windows of `panel`, which neither may have been fitted to.
///
/// # Errors
/// [`EvaluationError`] if the candidate fails or the panel is too short. A current model that fails
/// counts as absent.
pub fn compare(
    panel: &Panel,
    protocol: Protocol,
    candidate: &mut dyn Forecaster,
    current: Option<&mut dyn Forecaster>,
) -> Result<GateReport, EvaluationError> {
    let evaluation = Evaluation::new(panel, protocol)?;
    let loss = |model: &mut dyn Forecaster| {
        let sums = evaluation.score(model, |_| Ok::<(), EvaluationError>(()))?;
        let pinball = sums.accuracy().pinball;
        Ok::<f64, EvaluationError>(pinball.iter().sum::<f64>() / pinball.len().max(1) as f64)
    };
    let candidate = loss(candidate)?;
    let current = current.and_then(|model| loss(model).ok());
    Ok(GateReport { candidate, current })
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
    use super::*;

    #[test]
    fn a_candidate_takes_over_only_with_a_lower_loss() {
        let promotes = |candidate, current| GateReport { candidate, current }.promotes();
        assert!(promotes(1.0, None));
        assert!(promotes(1.0, Some(1.1)));
        assert!(!promotes(1.0, Some(1.0)));
        assert!(!promotes(f64::NAN, Some(1.0)));
        assert!(!promotes(f64::NAN, None));
        assert!(promotes(1.0, Some(f64::NAN)));
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
