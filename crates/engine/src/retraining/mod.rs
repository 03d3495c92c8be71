//! Training again: a child process makes a candidate, the gate judges it, the better model is taken
//! up.

mod carried;
mod child;
mod judge;
mod model;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use self::{
    child::train_candidate,
    judge::{Verdict, judge},
};
pub(crate) use self::{
    judge::{holdout, load_history},
    model::{LoadModel, LoadedForecaster, from_training},
};
use crate::{
    collector::{CollectorCommand, HistoryFolder},
    config::RetrainingConfig,
    models::pinned,
    numbers::Numbers,
    planning::PlanningCommand,
};

/// What training needs to know.
pub(crate) struct Retraining {
    pub(crate) config: RetrainingConfig,
    pub(crate) models: PathBuf,
    pub(crate) history: HistoryFolder,
    pub(crate) imports: Vec<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) load: LoadModel,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) collector: mpsc::Sender<CollectorCommand>,
    pub(crate) planning: mpsc::Sender<PlanningCommand>,
}

/// What is to be trained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainNow {
    /// The width of the bins.
    pub(crate) interval: Duration,
}

/// What one training came to.
#[derive(Debug)]
enum Trained {
    Promoted { loss: f64, before: f64 },
    Kept { loss: f64, before: f64 },
}

/// The folders of the candidates there are, the oldest first.
pub(crate) fn candidate_folders(models: &std::path::Path) -> Vec<PathBuf> {
    let candidates = child::candidates(models).into_iter();
    candidates.map(|candidate| candidate.folder).collect()
}

impl Retraining {
    /// Trains when asked, one training at a time, until nobody can ask any more.
    pub(crate) async fn run(self, mut asked: mpsc::Receiver<TrainNow>) {
        while let Some(now) = asked.recv().await {
            let numbers = &self.numbers.retraining;
            numbers.started.add(1);
            match self.train(now).await {
                Ok(Trained::Promoted { loss, before }) => {
                    tracing::info!(loss, before, "a new model is in use");
                    numbers.promoted.add(1);
                    numbers
                        .latest
                        .set(format!("promoted: loss {loss:.4}, before {before:.4}"));
                }
                Ok(Trained::Kept { loss, before }) => {
                    tracing::info!(
                        loss,
                        before,
                        "the candidate is not better and is kept aside"
                    );
                    numbers.rejected.add(1);
                    numbers
                        .latest
                        .set(format!("not better: loss {loss:.4}, in use {before:.4}"));
                }
                Err(reason) => {
                    tracing::warn!(reason, "training failed; the model in use stays");
                    numbers.failed.add(1);
                    numbers.latest.set(format!("failed: {reason}"));
                }
            }
        }
    }

    async fn train(&self, now: TrainNow) -> Result<Trained, String> {
        self.flush_history().await?;
        let histories = self.histories().await?;
        if histories.is_empty() {
            return Err("there is no history to train on yet".to_owned());
        }
        let end = self.numbers.clock.now();
        let until = (end - holdout(now.interval)).floor_to(now.interval);
        let candidate = train_candidate(self, &histories, now.interval, until).await?;
        let name = candidate.name.clone();
        let (load, models) = (self.load.clone(), self.models.clone());
        let judged = tokio::task::spawn_blocking(move || {
            judge(&load, &models, &candidate.folder, &histories, until)
        });
        let verdict = judged.await.map_err(|error| error.to_string())??;
        self.prune(&name);
        self.follow(verdict, &name).await
    }

    async fn follow(&self, verdict: Verdict, name: &str) -> Result<Trained, String> {
        let (loss, before) = (verdict.loss, verdict.before);
        if !verdict.promotes || pinned(&self.models).is_some() {
            return Ok(Trained::Kept { loss, before });
        }
        foreshadow_training::promote(&self.models, name).map_err(|error| error.to_string())?;
        let use_model = PlanningCommand::UseModel {
            model: verdict.candidate.forecaster,
            interval: verdict.candidate.interval,
            warm: verdict.panel,
        };
        let sent = self.planning.send(use_model).await;
        sent.map_err(|_| "the engine is stopping".to_owned())?;
        Ok(Trained::Promoted { loss, before })
    }

    async fn flush_history(&self) -> Result<(), String> {
        let stopping = || "the engine is stopping".to_owned();
        let (reply, flushed) = oneshot::channel();
        let flush = CollectorCommand::Flush { reply };
        self.collector.send(flush).await.map_err(|_| stopping())?;
        flushed.await.map_err(|_| stopping())
    }

    /// What there is to train on.
    async fn histories(&self) -> Result<Vec<PathBuf>, String> {
        let mut histories = self.imports.clone();
        let history = self.history.clone();
        let filled = tokio::task::spawn_blocking(move || history.filled()).await;
        let filled = filled.map_err(|error| error.to_string())?;
        histories.extend(filled.map_err(|error| error.to_string())?);
        Ok(histories)
    }

    /// Removes old candidates that were not promoted; the newest are kept for inspection.
    fn prune(&self, newest: &str) {
        let current = foreshadow_training::current_model(&self.models)
            .ok()
            .flatten();
        let mut candidates = child::candidates(&self.models);
        let kept = pinned(&self.models);
        candidates.retain(|one| {
            let named = one.name == newest || Some(&one.name) == kept.as_ref();
            Some(&one.folder) != current.as_ref() && !named
        });
        let excess = candidates.len().saturating_sub(self.config.keep_candidates);
        for old in &candidates[..excess] {
            if let Err(error) = std::fs::remove_dir_all(&old.folder) {
                tracing::warn!(folder = %old.folder.display(), %error, "an old candidate stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use foreshadow_forecast::{ForecastError, Forecaster, QuantileForecast};
    use foreshadow_history::UsageWriter;
    use foreshadow_types::{EntityId, Timestamp};

    use super::*;

    /// Forecasts the one number that its file holds.
    struct Constant(f32);

    impl Forecaster for Constant {
        fn name(&self) -> &'static str {
            "constant"
        }

        fn forecast(
            &mut self,
            panel: &foreshadow_forecast::Panel,
            origins: &[usize],
            horizon: usize,
            levels: &[f64],
        ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
            let one = QuantileForecast::from_points(levels, &vec![self.0; horizon]);
            Ok(vec![vec![one; panel.ids().len()]; origins.len()])
        }
    }

    fn load_constant() -> LoadModel {
        Arc::new(|folder| {
            let text = std::fs::read_to_string(folder.join("value"));
            let value = text.map_err(|error| error.to_string())?.trim().parse();
            Ok(LoadedForecaster {
                forecaster: Box::new(Constant(value.map_err(|_| "not a number".to_owned())?)),
                interval: Duration::from_secs(1),
                trained_through: Timestamp::MIN,
                pools: std::collections::BTreeMap::new(),
                measures: Vec::new(),
            })
        })
    }

    /// 200 seconds of a value that jumps about between 0 and 10, so that 5 is a fair guess and
    /// repeating the last value a bad one.
    fn write_history(folder: &HistoryFolder, end: Timestamp) {
        let path = folder.usage().join("1.parquet");
        let mut writer = UsageWriter::create(&path, &["cpu"]).unwrap();
        let entity = EntityId::new("ada").unwrap();
        for second in 0..200 {
            let at = end - Duration::from_secs(200 - second);
            let value = (second * 41 % 101) as f64 / 10.0;
            writer.write(at, &entity, &[Some(value)]).unwrap();
        }
        writer.finish().unwrap();
    }

    fn retraining(folder: &Path, planning: mpsc::Sender<PlanningCommand>) -> Retraining {
        let numbers = Arc::new(Numbers::default());
        let history =
            HistoryFolder::open(&folder.join("history"), &folder.join("journal")).unwrap();
        write_history(&history, numbers.clock.now());
        let (collector, mut collected) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(CollectorCommand::Flush { reply }) = collected.recv().await {
                let _ = reply.send(());
            }
        });
        Retraining {
            config: RetrainingConfig::default(),
            models: folder.join("models"),
            history,
            imports: Vec::new(),
            seed: 1,
            load: load_constant(),
            numbers,
            collector,
            planning,
        }
    }

    /// A training that writes a number to the folder that comes last on its command line.
    fn trains_to(value: &str) -> Vec<String> {
        let script =
            format!("for out; do :; done; mkdir -p \"$out\" && echo {value} > \"$out/value\"");
        ["sh", "-c", &script, "train"].map(str::to_owned).to_vec()
    }

    const NOW: TrainNow = TrainNow {
        interval: Duration::from_secs(1),
    };

    #[tokio::test]
    async fn only_a_better_model_is_promoted() {
        let folder = tempfile::tempdir().unwrap();
        let (planning, mut promoted) = mpsc::channel(4);
        let mut retraining = retraining(folder.path(), planning);
        let current = |retraining: &Retraining| {
            let current = foreshadow_training::current_model(&retraining.models).unwrap();
            current.map(|folder| folder.file_name().unwrap().to_owned())
        };

        retraining.config.command = Some(trains_to("1000"));
        assert!(matches!(
            retraining.train(NOW).await,
            Ok(Trained::Kept { .. })
        ));
        assert_eq!(current(&retraining), None);

        retraining.config.command = Some(trains_to("4"));
        assert!(matches!(
            retraining.train(NOW).await,
            Ok(Trained::Promoted { .. })
        ));
        assert_eq!(current(&retraining), Some("candidate-2".into()));
        assert!(matches!(
            promoted.try_recv(),
            Ok(PlanningCommand::UseModel { .. })
        ));

        for worse in ["4", "-3"] {
            retraining.config.command = Some(trains_to(worse));
            assert!(
                matches!(retraining.train(NOW).await, Ok(Trained::Kept { .. })),
                "{worse}"
            );
        }
        assert_eq!(current(&retraining), Some("candidate-2".into()));
        assert!(promoted.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_training_that_fails_says_why_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (planning, mut promoted) = mpsc::channel(4);
        let mut retraining = retraining(folder.path(), planning);
        let script = "echo no memory left >&2; exit 1";
        retraining.config.command = Some(["sh", "-c", script].map(str::to_owned).to_vec());
        let reason = retraining.train(NOW).await.unwrap_err();
        assert!(reason.contains("no memory left"), "{reason}");
        retraining.config.command = Some(trains_to("garbage"));
        assert!(retraining.train(NOW).await.is_err());
        assert!(promoted.try_recv().is_err());
    }
}
