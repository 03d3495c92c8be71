//! When models are trained again: on a schedule, and when forecasts have become worse.

use std::time::Duration;

use foreshadow_types::Timestamp;

use super::{Planning, adaptation::GroupKey};
use crate::{
    error::EngineError,
    retraining::{TrainNow, holdout},
};

/// How many trainings follow one drift until a model is promoted.
const DRIFT_TRAININGS: u32 = 3;

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
            let now = self.now();
            if self.drifted_at.is_none() {
                self.drifted_at = Some(now);
                self.drift_trainings = 1;
            }
        }
    }

    /// Whether a drift lies so far back that a model can be fitted to what came after and judged on
    /// as much again.
    fn drift_has_settled(&self, now: Timestamp) -> bool {
        let settling = holdout(self.bin, Duration::MAX) * 2;
        self.config.value.retrain_on_drift
            && self.drifted_at.is_some_and(|at| now.since(at) >= settling)
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
        if drifted && self.drift_trainings < DRIFT_TRAININGS {
            // Unless what comes of it is promoted, it is tried again when more has been seen.
            self.drift_trainings += 1;
            self.drifted_at = Some(now);
        }
    }

    /// A model has been taken up: what drifted before is of the one before it.
    pub(super) fn has_a_new_model(&mut self) {
        self.drifted_at = None;
        self.drift_trainings = 0;
    }

    /// Asks for a training, unless one waits already.
    pub(super) fn train(&mut self, now: Timestamp) -> Result<(), EngineError> {
        let train = TrainNow { interval: self.bin };
        let asked = self.links.training.try_send(train);
        asked.map_err(|_| EngineError::Training)?;
        self.trained_at = now;
        self.drifted_at = None;
        Ok(())
    }
}
