//! When models are trained again: on a schedule, and when forecasts have become worse.

use std::time::Duration;

use foreshadow_types::Timestamp;

use super::{Planning, adaptation::GroupKey};
use crate::{
    error::EngineError,
    retraining::{Ruled, RuledPool, TrainNow, holdout},
};

/// How many trainings follow one drift until a model is promoted.
const DRIFT_TRAININGS: u32 = 3;

/// Forecasts that have become worse.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drift {
    /// When that was found, or when a training last followed it.
    since: Timestamp,
    trainings: u32,
}

impl Drift {
    /// After one more training; none if it has had its trainings.
    fn tried(self, now: Timestamp) -> Option<Self> {
        let trainings = self.trainings + 1;
        (trainings < DRIFT_TRAININGS).then_some(Self {
            since: now,
            trainings,
        })
    }
}

impl Planning {
    pub(super) fn take_note_of(&mut self, drifted: &[GroupKey]) {
        for (kind, name) in drifted {
            tracing::warn!(?kind, %name, "forecasts have become worse");
        }
        if !drifted.is_empty() {
            self.links
                .numbers
                .forecasts
                .drifts
                .add(drifted.len() as u64);
            let since = self.now();
            self.drift.get_or_insert(Drift {
                since,
                trainings: 0,
            });
        }
    }

    /// Whether a drift lies so far back that a model can be fitted to what came after and judged on
    /// as much again.
    fn drift_has_settled(&self, now: Timestamp) -> bool {
        let settling = holdout(self.bin, Duration::MAX) * 2;
        self.config.value.retrain_on_drift
            && self
                .drift
                .is_some_and(|drift| now.since(drift.since) >= settling)
    }

    /// Asks for a training when the schedule says so; one that is under way is enough.
    pub(super) fn train_when_due(&mut self, now: Timestamp) {
        let every = self.config.value.retrain_every;
        let due = every.is_some_and(|every| now.since(self.trained_at) >= every);
        let moments = self.config.value.retrain_at.as_ref();
        let next = moments.and_then(|moments| moments.next_after(self.trained_at));
        let drifted = self.drift_has_settled(now);
        if due || next.is_some_and(|next| next <= now) || drifted {
            self.trained_at = now;
            if let Err(error) = self.train(now) {
                tracing::warn!(%error, "the next is left out");
            }
        }
        if drifted {
            // Unless what comes of it is promoted, it is tried again when more has been seen.
            self.drift = self.drift.and_then(|drift| drift.tried(now));
        }
    }

    /// What of the pools depends on the model.
    fn ruled(&self) -> Ruled {
        let pools = self.pools.values().map(|pool| RuledPool {
            name: pool.name().clone(),
            shape: pool.config.spec.shape,
            settings: pool.settings().clone(),
        });
        let categories = self.forecasts.categories.iter();
        Ruled::of(&self.config.value.triggers, pools, categories)
    }

    /// Asks for a training, unless one waits already.
    pub(super) fn train(&mut self, now: Timestamp) -> Result<(), EngineError> {
        let train = TrainNow {
            interval: self.bin,
            ruled: self.ruled(),
        };
        let asked = self.links.training.try_send(train);
        asked.map_err(|_| EngineError::Training)?;
        self.trained_at = now;
        Ok(())
    }
}
