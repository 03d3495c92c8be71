//! What the collector is told and asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use foreshadow_forecast::Panel;
use foreshadow_shadow::{Observation, ShadowSnapshot};
use foreshadow_types::{EntityId, PoolName, Timestamp};
use tokio::sync::oneshot;

use super::series::SeriesKey;
use crate::{demand::Happening, error::EngineError, views::ReportOutcome};

/// Why observations are not kept.
#[derive(Debug)]
pub(crate) enum ReportError {
    /// Too many wait already; none was taken, and here they are.
    Behind(Vec<Observation>),
    /// They could not be written down.
    Journal(String),
}

/// One message.
#[derive(Debug)]
pub(crate) enum CollectorCommand {
    Report {
        observations: Vec<Observation>,
        /// Whether what was taken before, with the same time and value, is not taken again.
        once: bool,
        reply: oneshot::Sender<Result<ReportOutcome, ReportError>>,
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
    /// Another width of bins, and what they hold so far.
    Rebin {
        interval: Duration,
        warm: Option<WarmSeries>,
    },
    /// Writes all rows that wait, and answers when they are on disk.
    Flush { reply: oneshot::Sender<()> },
    /// Forgets an entity: whether it had a shadow, and how many rows of the history named it.
    Forget {
        entity: EntityId,
        reply: oneshot::Sender<Result<(bool, u64), EngineError>>,
    },
    /// Takes what has come so far, writes it and ends.
    Finish,
}

/// Past values to go on from.
#[derive(Debug, Clone)]
pub(crate) struct WarmSeries {
    pub(crate) panel: Arc<Panel>,
    /// Which entities of the panel are pools.
    pub(crate) pools: BTreeSet<PoolName>,
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
