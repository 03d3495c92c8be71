//! Planners made anew: from memory, when settings change.

use std::collections::BTreeMap;

use foreshadow_planner::PoolSettings;
use foreshadow_types::PoolName;

use super::Planning;
use crate::error::EngineError;

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
