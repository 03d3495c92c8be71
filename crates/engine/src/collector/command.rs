//! What the collector is told and asked.

use foreshadow_shadow::{Observation, ShadowSnapshot};
use foreshadow_types::EntityId;
use tokio::sync::oneshot;

use crate::views::ReportOutcome;

/// One message.
#[derive(Debug)]
pub(crate) enum CollectorCommand {
    Report {
        observations: Vec<Observation>,
        reply: oneshot::Sender<ReportOutcome>,
    },
    Shadow {
        entity: EntityId,
        reply: oneshot::Sender<Option<ShadowSnapshot>>,
    },
}
