//! What the collector is told and asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_forecast::Panel;
use foreshadow_shadow::{Observation, ShadowSnapshot};
use foreshadow_types::{EntityId, Timestamp};
use tokio::sync::oneshot;

use super::series::SeriesKey;
use crate::{demand::Happening, views::ReportOutcome};

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
    /// What has gathered up to a tick.
    Gather {
        now: Timestamp,
        reply: oneshot::Sender<Gathered>,
    },
    /// Another width of bins: what has been gathered in bins is given up.
    Rebin { interval: Duration },
    /// Writes all rows that wait, and answers when they are on disk.
    Flush { reply: oneshot::Sender<()> },
    /// Takes what has come so far, writes it and ends.
    Finish,
}

/// What has gathered since the tick before.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) happenings: Vec<Happening>,
    /// All series with their closed bins, if a bin has closed since the tick before.
    pub(crate) series: Option<GatheredSeries>,
    /// The category of each entity that has one.
    pub(crate) categories: BTreeMap<EntityId, Arc<str>>,
}

/// All series and what each is of, in the same order.
#[derive(Debug, Clone)]
pub(crate) struct GatheredSeries {
    pub(crate) panel: Arc<Panel>,
    pub(crate) keys: Arc<[SeriesKey]>,
}
