//! Request history becomes a trace.

use std::path::PathBuf;

use foreshadow_history::{HistoryPaths, RequestReader, RequestRecord};
use foreshadow_planner::{Arrival, stable_hash};
use foreshadow_simulation::backtest::{Trace, TraceBuilder};

use crate::failure::Failure;

/// Reads all requests in order of time.
pub(super) fn trace(paths: &[PathBuf]) -> Result<Trace, Failure> {
    let paths = HistoryPaths::expand(paths).map_err(Failure::bad_input)?;
    let mut builder = TraceBuilder::new();
    for record in RequestReader::open(&paths).map_err(Failure::bad_input)? {
        let record = record.map_err(Failure::bad_input)?;
        builder
            .push(&record.pool, &arrival(&record))
            .map_err(Failure::bad_input)?;
    }
    builder.build().map_err(Failure::bad_input)
}

fn arrival(record: &RequestRecord) -> Arrival {
    Arrival {
        at: record.at,
        user: record
            .user
            .as_ref()
            .map_or(0, |user| stable_hash(user.as_str())),
        application: record
            .application
            .as_ref()
            .map_or(0, |application| stable_hash(application.as_str())),
        hold: record.hold,
    }
}
