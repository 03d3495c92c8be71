//! What one training came to, and where it is told: the log, the counts, the latest in words, and the
//! log of changes.

use foreshadow_ledger::AuditRecord;
use serde_json::json;

use super::Retraining;

/// Who changes a model without being asked.
const WHO: &str = "retraining";

/// What one training came to.
#[derive(Debug)]
pub(super) enum Trained {
    Promoted {
        name: String,
        loss: f64,
        before: f64,
    },
    /// Aside, for inspection; with the reason.
    Kept { name: String, reason: String },
    /// Another engine has trained for this one as well.
    ByAnother,
}

impl Retraining {
    /// Tells what became of a training.
    pub(super) async fn tell(&self, trained: Result<Trained, String>) {
        let numbers = &self.numbers.retraining;
        let (model, latest, refusal) = match trained {
            Ok(Trained::Promoted { name, loss, before }) => {
                tracing::info!(name, loss, before, "a new model is in use");
                numbers.promoted.add(1);
                let latest = format!("promoted: loss {loss:.4}, before {before:.4}");
                (Some(name), latest, None)
            }
            Ok(Trained::Kept { name, reason }) => {
                tracing::info!(name, reason, "the candidate is kept aside");
                numbers.rejected.add(1);
                (Some(name), reason.clone(), Some(reason))
            }
            // Who has trained tells of it.
            Ok(Trained::ByAnother) => return,
            Err(reason) => {
                tracing::warn!(reason, "training failed; the model in use stays");
                numbers.failed.add(1);
                (None, format!("failed: {reason}"), Some(reason))
            }
        };
        self.write_down(model, refusal).await;
        numbers.latest.set(latest);
    }

    /// A training that failed, or whose candidate stays aside, is a change that was refused.
    async fn write_down(&self, model: Option<String>, refusal: Option<String>) {
        let record = AuditRecord {
            at: self.numbers.clock.now(),
            who: WHO.to_owned(),
            role: "service".to_owned(),
            action: "Retrain".to_owned(),
            request: model
                .map_or_else(|| json!({}), |name| json!({ "name": name }))
                .to_string(),
            refusal: refusal.unwrap_or_default(),
            ..AuditRecord::default()
        };
        if let Err(error) = self.scribe.audit(record).await {
            tracing::warn!(%error, "what became of a training is in no log of changes");
        }
    }
}
