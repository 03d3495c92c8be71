//! The `[history]` table: where past usage is kept, and how it becomes coarser.

use std::path::PathBuf;

use foreshadow_engine::{EngineConfig, config::Downsampling};
use serde::Deserialize;

use super::text::Span;

/// The table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawHistory {
    /// A folder or `s3://bucket/prefix`; `history` in the folder of the data unless given.
    folder: Option<PathBuf>,
    downsample: Vec<RawDownsampling>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDownsampling {
    after: Span,
    interval: Span,
}

impl RawHistory {
    pub(super) fn apply(self, config: &mut EngineConfig) {
        config.history_dir = self.folder;
        let steps = self.downsample.into_iter().map(|step| Downsampling {
            after: step.after.0,
            interval: step.interval.0,
        });
        config.downsampling = steps.collect();
    }
}
