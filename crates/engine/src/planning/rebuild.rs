//! Planners made anew: from history when the engine starts, from memory when settings change.

use std::{collections::BTreeMap, path::PathBuf};

use foreshadow_history::{HistoryError, HistoryPaths, RequestReader};
use foreshadow_planner::PoolSettings;
use foreshadow_types::{PoolName, Timestamp};

use super::{
    PlannedPool, Planning,
    pool::{Past, arrival_of},
};
use crate::error::EngineError;

/// Shows each pool the requests of past runs and of imports. Takes up to minutes.
///
/// # Errors
/// [`HistoryError`] if a file cannot be read.
pub(crate) fn recall(
    pools: &mut [PlannedPool],
    histories: &[PathBuf],
    now: Timestamp,
) -> Result<u64, HistoryError> {
    if histories.is_empty() || pools.is_empty() {
        return Ok(0);
    }
    let mut recalled = 0;
    for record in RequestReader::open(&HistoryPaths::expand(histories)?)? {
        let record = record?;
        let pool = pools.iter_mut().find(|pool| *pool.name() == record.pool);
        if let Some(pool) = pool {
            pool.remember(arrival_of(&record), Past::Unknown);
            recalled += 1;
        }
    }
    for pool in pools {
        let settings = pool.settings().clone();
        if let Ok(planner) = pool.made_anew(settings, now) {
            pool.replace_planner(planner);
        }
    }
    Ok(recalled)
}

impl Planning {
    /// Lets the planners of these pools work with other settings.
    pub(super) async fn work_with(
        &mut self,
        changes: BTreeMap<PoolName, PoolSettings>,
    ) -> Result<(), EngineError> {
        if changes.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut pools = std::mem::take(&mut self.pools);
        let made = tokio::task::spawn_blocking(move || {
            for (name, settings) in changes {
                let Some(pool) = pools.get_mut(&name) else {
                    continue;
                };
                if let Err(error) = pool.work_with(settings, now) {
                    tracing::error!(pool = %name, %error, "settings were refused");
                }
            }
            pools
        });
        self.pools = made.await.map_err(|_| EngineError::Stopped)?;
        Ok(())
    }
}
