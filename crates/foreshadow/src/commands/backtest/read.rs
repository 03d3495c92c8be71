//! Request history becomes a trace.

use std::{
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
};

use foreshadow_history::{HistoryPaths, RequestReader};
use foreshadow_planner::stable_hash;
use foreshadow_simulation::backtest::{Trace, TraceBuilder, TraceError};
use foreshadow_training::arrival_of;

use crate::failure::Failure;

/// Reads all requests in order of time; at most `share` of them use an instance at a time.
pub(super) fn trace(paths: &[PathBuf], share: NonZeroU32) -> Result<Trace, Failure> {
    let paths = HistoryPaths::expand(paths).map_err(Failure::bad_input)?;
    let mut builder = TraceBuilder::new().with_share(share);
    for record in RequestReader::open(&paths).map_err(Failure::bad_input)? {
        let record = record.map_err(Failure::bad_input)?;
        let key = record.merge_key.as_ref();
        let key = key.and_then(|key| NonZeroU64::new(stable_hash(key.as_str())));
        builder
            .push_keyed(&record.pool, &arrival_of(&record), key)
            .map_err(Failure::bad_input)?;
    }
    builder.build().map_err(|error| match error {
        TraceError::HoldUnknown(_) => Failure::bad_input(format!("--share: {error}")),
        TraceError::Unsorted { .. } | TraceError::TooManyPools | TraceError::Empty => {
            Failure::bad_input(error)
        }
    })
}
