//! Training again: a child process makes a candidate, the gate judges it, another process replays the
//! pools with it, the better model is taken up.

mod carried;
mod case;
mod child;
mod judge;
mod model;
mod outcome;
mod replayed;
mod ruled;
mod shared;
mod turn;

use std::{path::PathBuf, sync::Arc, time::Duration};

use foreshadow_forecast::Panel;
use foreshadow_types::Timestamp;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::{
    carried::CarriedLstm,
    judge::{holdout, load_history},
    model::{LoadModel, LoadedForecaster, from_training},
    ruled::{Ruled, RuledPool},
};
pub use self::{
    case::{PoolsCase, Wishes},
    shared::SharedTraining,
    turn::{Answer, TrainingLock, TrainingTurn, TrainingTurns},
};
use self::{
    child::train_candidate,
    judge::{Rivals, Verdict, judge, length},
    outcome::Trained,
    replayed::forget_case,
    turn::Turn,
};
use crate::{
    collector::{CollectorCommand, HistoryFolder},
    config::RetrainingConfig,
    models::pinned,
    numbers::Numbers,
    planning::{PlanningCommand, Successor},
    scribe::Scribe,
};

/// What training needs to know.
pub(crate) struct Retraining {
    pub(crate) config: RetrainingConfig,
    pub(crate) models: PathBuf,
    pub(crate) history: HistoryFolder,
    pub(crate) imports: Vec<PathBuf>,
    pub(crate) seed: u64,
    /// The model that the service was told to begin with.
    pub(crate) configured: Option<PathBuf>,
    /// Whether the pretrained model is used until there is one of its own.
    pub(crate) pretrained: bool,
    pub(crate) load: LoadModel,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) scribe: Scribe,
    pub(crate) collector: mpsc::Sender<CollectorCommand>,
    pub(crate) planning: mpsc::Sender<PlanningCommand>,
}

/// What is to be trained.
#[derive(Debug, Clone)]
pub(crate) struct TrainNow {
    /// The width of the bins.
    pub(crate) interval: Duration,
    /// What of the pools depends on the model.
    pub(crate) ruled: Ruled,
}

/// In how many bins from the last training on there is nothing more to learn.
const SETTLED: u32 = 2;

/// The folders of the candidates there are, the oldest first.
pub(crate) fn candidate_folders(models: &std::path::Path) -> Vec<PathBuf> {
    let candidates = child::candidates(models).into_iter();
    candidates.map(|candidate| candidate.folder).collect()
}

/// When the newest candidate was made, if there is one: schedules go on from it after a restart.
pub(crate) fn last_trained(models: &std::path::Path) -> Option<Timestamp> {
    let newest = candidate_folders(models).pop()?;
    let made = std::fs::metadata(newest).ok()?.modified().ok()?;
    let since = made.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis())
        .ok()
        .map(Timestamp::from_millis)
}

impl Retraining {
    /// Trains when asked, one training at a time, until nobody can ask any more.
    pub(crate) async fn run(self, mut asked: mpsc::Receiver<TrainNow>) {
        // A model may have been published while this shard was elsewhere.
        if let Err(reason) = self.take_newest().await {
            tracing::warn!(
                reason,
                "the published model is taken up with the next training"
            );
        }
        while let Some(now) = asked.recv().await {
            let trained = self.train(now).await;
            self.tell(trained).await;
        }
    }

    /// Trains when it is this engine's turn.
    async fn train(&self, now: TrainNow) -> Result<Trained, String> {
        let asked = self.numbers.clock.now();
        let mut turn = self.config.turns.next().await?;
        let waited = self.numbers.clock.now().since(asked);
        let settled = turn.follows_within(waited.max(now.interval * SETTLED));
        if self.config.shared.is_some() {
            // Whatever is trained here is to be better than what others have published.
            let taken = turn.during(self.take_newest()).await;
            if settled || taken.is_err() {
                turn.give_back(false).await;
                return taken.map(|()| Trained::ByAnother);
            }
        }
        self.numbers.retraining.started.add(1);
        let trained = self.train_in(&mut turn, now).await;
        turn.give_back(trained.is_ok()).await;
        trained
    }

    async fn train_in(&self, turn: &mut Turn, now: TrainNow) -> Result<Trained, String> {
        let (verdict, name) = turn.during(self.judged(now)).await?;
        turn.confirm().await?;
        self.follow(verdict, &name, turn.epoch()).await
    }

    /// A candidate's name, and what the gate says of it.
    async fn judged(&self, now: TrainNow) -> Result<(Verdict, String), String> {
        self.flush_history().await?;
        let histories = self.histories().await?;
        if histories.is_empty() {
            return Err("there is no history to train on yet".to_owned());
        }
        let end = self.numbers.clock.now();
        let read = histories.clone();
        let length = tokio::task::spawn_blocking(move || length(&read, end)).await;
        let length = length.map_err(|error| error.to_string())??;
        let held_out = holdout(now.interval, length);
        let until = (end - held_out).floor_to(now.interval);
        let candidate = train_candidate(self, &histories, now.interval, until).await;
        let candidate = candidate.inspect_err(|_| self.prune(""))?;
        let (name, folder) = (candidate.name, candidate.folder);
        let case = PoolsCase {
            candidate: folder,
            rivals: self.rivals(),
            histories,
            window: (until, end),
            interval: now.interval,
            within: self.config.max_duration,
            ruled: now.ruled,
        };
        let verdict = self.compared(case, held_out).await;
        self.prune(&name);
        Ok((verdict?, name))
    }

    /// What the gate says of a candidate: by the losses of its forecasts first, then by how the pools
    /// fare with it.
    async fn compared(&self, case: PoolsCase, held_out: Duration) -> Result<Verdict, String> {
        let (load, judged) = (self.load.clone(), case.clone());
        let judged = tokio::task::spawn_blocking(move || {
            let windows = (judged.window.0, held_out);
            judge(
                &load,
                &judged.rivals,
                &judged.candidate,
                &judged.histories,
                windows,
            )
        });
        let mut verdict = judged.await.map_err(|error| error.to_string())??;
        if verdict.refusal.is_none() {
            let report = self.replayed(case).await?;
            verdict.refusal = report.and_then(|report| report.refusal());
        }
        Ok(verdict)
    }

    fn rivals(&self) -> Rivals {
        Rivals {
            models: self.models.clone(),
            configured: self.configured.clone(),
            pretrained: self.pretrained,
        }
    }

    async fn follow(&self, verdict: Verdict, name: &str, epoch: u64) -> Result<Trained, String> {
        let (loss, before) = (verdict.loss, verdict.before);
        let kept = pinned(&self.models).map(|kept| format!("`{kept}` is kept by an administrator"));
        if let Some(reason) = verdict.refusal.or(kept) {
            let name = name.to_owned();
            return Ok(Trained::Kept { name, reason });
        }
        foreshadow_training::promote(&self.models, name).map_err(|error| error.to_string())?;
        let warm = match &self.config.shared {
            Some(shared) => {
                self.publish(shared, epoch, name).await;
                self.go_on_from(verdict.candidate.interval).await?
            }
            None => verdict.panel,
        };
        self.use_model(verdict.candidate, warm).await?;
        let name = name.to_owned();
        Ok(Trained::Promoted { name, loss, before })
    }

    async fn use_model(&self, model: LoadedForecaster, warm: Arc<Panel>) -> Result<(), String> {
        let use_model = PlanningCommand::UseModel(Successor::of(model, warm));
        let sent = self.planning.send(use_model).await;
        sent.map_err(|_| "the engine is stopping".to_owned())
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
        let (history, shared) = (self.history.clone(), self.config.shared.clone());
        let filled = tokio::task::spawn_blocking(move || match shared {
            Some(shared) => shared.histories(),
            None => history.filled(),
        });
        let filled = filled.await;
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
        for one in &candidates {
            forget_case(&one.folder);
        }
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
mod tests;
