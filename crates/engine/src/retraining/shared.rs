//! What engines that train in turn share: what they learn from, and the models that they publish.
//!
//! A model is published under the epoch of the turn that it was trained in. The newest is that of the
//! highest epoch, so that whoever had lost its turn unnoticed publishes nothing that anybody takes up.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use foreshadow_forecast::Panel;
use foreshadow_history::{
    HistoryError, parquet_files, read_file, remove_file, stored_files, write_file,
};
use tokio::task::spawn_blocking;

use super::{LoadedForecaster, Retraining, child::Candidate};
use crate::{
    collector::Kind,
    models::{go_on_from, pinned},
};

/// What several engines share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedTraining {
    /// What all of them write their histories below.
    history: PathBuf,
    /// Where models are published.
    models: PathBuf,
}

/// Below the history: where models are published.
const MODELS: &str = "models";
/// What a model's files lie in begins with.
const PREFIX: &str = "epoch-";
/// The file that is put last and makes a model whole.
const LAST: &str = "manifest.json";
/// In a folder of models: the epoch of the published one that is in use.
const TAKEN: &str = "taken";
/// How many published models are kept, so that one that is just read stays.
const KEPT: usize = 3;

impl Retraining {
    /// Publishes a model that is in use here. One that cannot be published is in use here alone.
    pub(super) async fn publish(&self, shared: &SharedTraining, epoch: u64, name: &str) {
        let (shared, models, name) = (shared.clone(), self.models.clone(), name.to_owned());
        let publish = move || {
            shared.publish(epoch, &models.join(name))?;
            take(&models, epoch)
        };
        let published = spawn_blocking(publish).await;
        let published = published.unwrap_or_else(|fault| Err(fault.to_string()));
        if let Err(reason) = published {
            tracing::warn!(
                reason,
                "the model could not be published; others keep theirs"
            );
        }
    }

    /// Takes up the newest model that was published, unless it is in use or an administrator keeps
    /// another.
    pub(super) async fn take_newest(&self) -> Result<(), String> {
        let Some(shared) = self.config.shared.clone() else {
            return Ok(());
        };
        let (models, load) = (self.models.clone(), self.load.clone());
        let fetched = spawn_blocking(move || {
            let newest = shared.newer_than(&models)?;
            newest.map_or(Ok(None), |epoch| {
                let Candidate { name, folder, .. } = Candidate::after(&models);
                let model = shared.fetch(epoch, &folder).and_then(|()| load(&folder));
                let model = model.inspect_err(|_| {
                    // What came of it is of no use; the next try fetches anew.
                    let _ = fs::remove_dir_all(&folder);
                })?;
                foreshadow_training::promote(&models, &name).map_err(|error| error.to_string())?;
                take(&models, epoch)?;
                Ok::<_, String>(Some((epoch, name, model)))
            })
        });
        let fetched = fetched.await.map_err(|fault| fault.to_string())??;
        let Some((epoch, name, model)) = fetched else {
            return Ok(());
        };
        tracing::info!(epoch, "a model that another has trained is in use");
        self.prune(&name);
        let model: LoadedForecaster = model;
        let warm = self.go_on_from(model.interval).await?;
        self.use_model(model, warm).await
    }

    /// What series of this engine go on from.
    pub(super) async fn go_on_from(&self, interval: Duration) -> Result<Arc<Panel>, String> {
        let (history, now) = (self.history.clone(), self.numbers.clock.now());
        let panel = spawn_blocking(move || go_on_from(&history, interval, now)).await;
        panel.map(Arc::new).map_err(|fault| fault.to_string())
    }
}

impl SharedTraining {
    /// What engines share whose histories all lie below this folder, or prefix of an object store.
    pub fn of(history: PathBuf) -> Self {
        Self {
            models: history.join(MODELS),
            history,
        }
    }

    /// The folders of usage and of requests, whoever has written them.
    pub(super) fn histories(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let files = parquet_files(&self.history)?;
        let is_kind = |folder: &&Path| {
            let name = folder.file_name();
            let mut kinds = [Kind::Usage, Kind::Requests].into_iter();
            kinds.any(|kind| name.is_some_and(|name| name == kind.name()))
        };
        let folders = files
            .iter()
            .filter_map(|file| file.ancestors().find(is_kind));
        let folders: BTreeSet<&Path> = folders.collect();
        Ok(folders.into_iter().map(Path::to_owned).collect())
    }

    /// The epoch of the newest model, if it is newer than the one that is in use here and none is kept.
    fn newer_than(&self, models: &Path) -> Result<Option<u64>, String> {
        let newest = self.published()?.pop();
        let newer = newest.filter(|epoch| *epoch > taken(models));
        Ok(newer.filter(|_| pinned(models).is_none()))
    }

    /// The epochs of the models that are whole, in order.
    fn published(&self) -> Result<Vec<u64>, String> {
        let files = stored_files(&self.models).map_err(|error| error.to_string())?;
        let whole = files.iter().filter(|file| file.ends_with(LAST));
        let mut epochs: Vec<u64> = whole.filter_map(|file| self.epoch_of(file)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// Publishes the model in a folder; older ones go.
    fn publish(&self, epoch: u64, model: &Path) -> Result<(), String> {
        copy(model, &self.place(epoch)).map_err(|error| error.to_string())?;
        self.prune()
    }

    /// Copies a published model into a folder of its own.
    fn fetch(&self, epoch: u64, into: &Path) -> Result<(), String> {
        copy(&self.place(epoch), into).map_err(|error| error.to_string())
    }

    fn prune(&self) -> Result<(), String> {
        let epochs = self.published()?;
        let Some(first_kept) = epochs.iter().rev().nth(KEPT - 1) else {
            return Ok(());
        };
        let files = stored_files(&self.models).map_err(|error| error.to_string())?;
        let is_old = |file: &PathBuf| self.epoch_of(file).is_some_and(|epoch| epoch < *first_kept);
        for file in files.iter().filter(|file| is_old(file)) {
            remove_file(file).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn place(&self, epoch: u64) -> PathBuf {
        self.models.join(format!("{PREFIX}{epoch}"))
    }

    fn epoch_of(&self, file: &Path) -> Option<u64> {
        let within = file.strip_prefix(&self.models).ok()?;
        let folder = within.components().next()?.as_os_str().to_str()?;
        folder.strip_prefix(PREFIX)?.parse().ok()
    }
}

/// Copies a model, what makes it whole last.
fn copy(from: &Path, to: &Path) -> Result<(), HistoryError> {
    let mut files = stored_files(from)?;
    files.sort_by_key(|file| file.ends_with(LAST));
    for file in files {
        if let Ok(name) = file.strip_prefix(from) {
            write_file(&to.join(name), &read_file(&file)?)?;
        }
    }
    Ok(())
}

/// The epoch of the published model that is in use; zero if none is.
fn taken(models: &Path) -> u64 {
    let text = fs::read_to_string(models.join(TAKEN)).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Notes which published model is in use.
fn take(models: &Path, epoch: u64) -> Result<(), String> {
    fs::write(models.join(TAKEN), epoch.to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(folder: &Path, value: &str) -> PathBuf {
        let model = folder.join(format!("model-{value}"));
        fs::create_dir_all(model.join("pools")).unwrap();
        fs::write(model.join(LAST), value).unwrap();
        fs::write(model.join("pools/a"), value).unwrap();
        model
    }

    #[test]
    fn the_newest_model_is_that_of_the_latest_turn_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let shared = SharedTraining::of(folder.path().join("history"));
        assert_eq!(shared.published(), Ok(Vec::new()));
        // One that stood still publishes last.
        for epoch in [2, 7, 9, 10, 8] {
            let model = model(folder.path(), &epoch.to_string());
            shared.publish(epoch, &model).unwrap();
        }
        assert_eq!(shared.published(), Ok(vec![8, 9, 10]));
        let into = folder.path().join("fetched");
        shared.fetch(10, &into).unwrap();
        assert_eq!(fs::read_to_string(into.join("pools/a")).unwrap(), "10");
        // Without its last file it is none yet.
        remove_file(&shared.models.join("epoch-10/manifest.json")).unwrap();
        assert_eq!(shared.published(), Ok(vec![8, 9]));
    }

    #[test]
    fn it_is_remembered_which_model_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(taken(folder.path()), 0);
        take(folder.path(), 12).unwrap();
        assert_eq!(taken(folder.path()), 12);
    }
}
