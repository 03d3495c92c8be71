//! The `[limits]` table: of how many entities and series there is room.

use std::num::NonZeroU32;

use foreshadow_engine::EngineConfig;
use serde::Deserialize;

/// The table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    /// Entities with a shadow.
    entities: Option<NonZeroU32>,
    /// Series that are forecast.
    series: Option<NonZeroU32>,
}

impl RawLimits {
    pub(super) fn apply(self, config: &mut EngineConfig) {
        let limits = &mut config.limits;
        limits.entities = self.entities.map_or(limits.entities, |n| n.get() as usize);
        limits.series = self.series.map_or(limits.series, |n| n.get() as usize);
    }
}
