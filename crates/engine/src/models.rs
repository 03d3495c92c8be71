//! The models that retraining has made: listed, taken up and kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use foreshadow_forecast::Panel;
use foreshadow_history::DEFAULT_MAX_VALUES;
use foreshadow_training::Measures;
use foreshadow_types::Timestamp;

use crate::{
    collector::HistoryFolder,
    inference::PRETRAINED,
    retraining::{LoadModel, LoadedForecaster, candidate_folders, load_history},
};

/// Where the models are and how they are read.
pub(crate) struct ModelStore {
    pub(crate) models: PathBuf,
    pub(crate) load: LoadModel,
    pub(crate) history: HistoryFolder,
    /// Whether the pretrained model is used until another is promoted.
    pub(crate) pretrained: bool,
}

impl std::fmt::Debug for ModelStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelStore")
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}

impl ModelStore {
    /// The pretrained model and those of retraining, the oldest first; `answering` is the name of the
    /// model that made the latest forecasts. Reads each: takes up to seconds.
    pub(crate) fn list(&self, answering: &str) -> Vec<ModelView> {
        let pretrained = self.pretrained.then(|| pretrained(answering));
        let made = list(&self.models, &self.load);
        pretrained.into_iter().chain(made).collect()
    }

    /// Reads a model and what it goes on from, and makes it the one that is kept.
    pub(crate) fn take_up(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(LoadedForecaster, Arc<Panel>), String> {
        let known = candidate_folders(&self.models);
        let folder = known
            .iter()
            .find(|folder| folder.file_name().is_some_and(|one| one == name))
            .ok_or_else(|| missing(name))?;
        let model = (self.load)(folder)?;
        let panel = go_on_from(&self.history, model.interval, now);
        let failed = |error: io::Error| error.to_string();
        // First, so that an error leaves the model in use as it is.
        let kept = pinned(&self.models);
        pin(&self.models, Some(name)).map_err(failed)?;
        if let Err(error) = foreshadow_training::promote(&self.models, name) {
            pin(&self.models, kept.as_deref()).map_err(failed)?;
            return Err(failed(error));
        }
        Ok((model, Arc::new(panel)))
    }
}

/// What series go on from; nothing where nothing was seen lately, or it cannot be read.
pub(crate) fn go_on_from(history: &HistoryFolder, interval: Duration, now: Timestamp) -> Panel {
    let files = history.lately(now).unwrap_or_default();
    let panel = load_history(&files, interval, DEFAULT_MAX_VALUES);
    panel.unwrap_or_else(|reason| {
        tracing::info!(reason, "there are no past values to go on from");
        Panel::new(now, interval, Vec::new(), 0, Vec::new())
    })
}

fn missing(name: &str) -> String {
    if name == PRETRAINED {
        return format!(
            "`{PRETRAINED}` is used until another is promoted and cannot be gone back to while serving; \
             remove the file `current` from the folder of the models and start again"
        );
    }
    format!("there is no model `{name}`")
}

/// The file that names the model that an administrator keeps.
const PINNED: &str = "pinned";

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Whether it is in use.
    pub in_use: bool,
    /// Whether an administrator keeps it.
    pub pinned: bool,
    /// The start of the last bin it was trained on, or why it cannot be read.
    pub trained_through: Result<Timestamp, String>,
    /// How good it was on what was held out, the model first, then the simple ones on the same.
    pub measures: Vec<Measures>,
}

/// The name of the model that is kept; `None` if retraining chooses.
pub(crate) fn pinned(models: &Path) -> Option<String> {
    let name = fs::read_to_string(models.join(PINNED)).ok()?;
    Some(name.trim().to_owned())
}

/// Keeps a model, or leaves the choice to retraining.
pub(crate) fn pin(models: &Path, name: Option<&str>) -> io::Result<()> {
    let file = models.join(PINNED);
    match name {
        Some(name) => fs::write(file, name),
        None => match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
    }
}

/// The model that every build holds.
fn pretrained(answering: &str) -> ModelView {
    let (trained_through, measures) = match foreshadow_training::pretrained() {
        Ok(model) => (Ok(model.trained_through), model.manifest.validation.models),
        Err(error) => (Err(error.to_string()), Vec::new()),
    };
    ModelView {
        name: PRETRAINED.to_owned(),
        in_use: answering == PRETRAINED,
        pinned: false,
        trained_through,
        measures,
    }
}

/// All models in a folder, the oldest first.
fn list(models: &Path, load: &LoadModel) -> Vec<ModelView> {
    let current = foreshadow_training::current_model(models).ok().flatten();
    let kept = pinned(models);
    let views = candidate_folders(models)
        .into_iter()
        .map(|folder: PathBuf| {
            let name = folder.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            let read = load(&folder).map(|model| (model.trained_through, model.measures));
            let (trained_through, measures) = match read {
                Ok((at, measures)) => (Ok(at), measures),
                Err(problem) => (Err(problem), Vec::new()),
            };
            ModelView {
                in_use: current.as_ref() == Some(&folder),
                pinned: kept.as_ref() == Some(&name),
                trained_through,
                measures,
                name,
            }
        });
    views.collect()
}
