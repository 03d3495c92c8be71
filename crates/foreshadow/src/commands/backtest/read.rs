//! Request history becomes a trace.

use std::path::PathBuf;

use foreshadow_history::{HistoryPaths, RequestReader};
use foreshadow_simulation::backtest::{Trace, TraceBuilder};
use foreshadow_training::arrival_of;

use crate::failure::Failure;

/// Reads all requests in order of time.
pub(super) fn trace(paths: &[PathBuf]) -> Result<Trace, Failure> {
    let paths = HistoryPaths::expand(paths).map_err(Failure::bad_input)?;
    let mut builder = TraceBuilder::new();
    for record in RequestReader::open(&paths).map_err(Failure::bad_input)? {
        let record = record.map_err(Failure::bad_input)?;
        builder
            .push(&record.pool, &arrival_of(&record))
            .map_err(Failure::bad_input)?;
    }
    builder.build().map_err(Failure::bad_input)
}
