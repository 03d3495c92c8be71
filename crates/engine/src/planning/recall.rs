//! What planners learn from the requests of past runs and of imports. The history may be long: it is
//! read while the service runs, and until it is known no pool shrinks.

use std::{collections::BTreeMap, io, path::PathBuf, thread, time::Duration};

use foreshadow_history::{HistoryError, HistoryPaths, RequestReader};
use foreshadow_planner::Past;
use foreshadow_training::request_files;
use foreshadow_types::{PoolName, Timestamp};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::timeout,
};

use super::{PlannedPool, Planning, pool::arrival_of, tick::Plans};
use crate::{
    collector::HistoryFolder, config::OverrideSubject, error::EngineError, owner::PoolInventory,
    views::PoolPlanView,
};

/// How often the history is read again whose files were merged meanwhile.
const ATTEMPTS: u32 = 5;

/// How long to wait after the first failure; twice as long after each that follows.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the first plan waits for a past that is soon known.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Pools that are shown the past, on a thread of their own.
pub(crate) type Recalling = oneshot::Receiver<Vec<PlannedPool>>;

/// Where requests of the past are.
#[derive(Debug)]
pub(crate) struct PastRequests {
    /// Of others.
    pub(crate) imports: Vec<PathBuf>,
    /// Of earlier runs.
    pub(crate) history: HistoryFolder,
    /// When this run began: what comes later is seen as it comes.
    pub(crate) until: Timestamp,
}

/// Begins to show pools, made anew for it, the past.
///
/// # Errors
/// If there is no thread for it.
pub(crate) fn recall(
    pools: impl Fn() -> Vec<PlannedPool> + Send + 'static,
    past: PastRequests,
) -> io::Result<Recalling> {
    let (known, recalling) = oneshot::channel();
    let showing = move || {
        let is_wanted = || !known.is_closed();
        let shown = past.shown(&pools, &is_wanted);
        // The service may have ended.
        let _ = known.send(shown);
    };
    thread::Builder::new()
        .name("recall".to_owned())
        .spawn(showing)?;
    Ok(recalling)
}

impl PastRequests {
    /// Pools that know the past; none if it cannot be read: the service goes on and learns anew.
    fn shown(
        &self,
        pools: &dyn Fn() -> Vec<PlannedPool>,
        is_wanted: &dyn Fn() -> bool,
    ) -> Vec<PlannedPool> {
        for attempt in 1..=ATTEMPTS {
            let mut shown = pools();
            match self.show(&mut shown, is_wanted) {
                Ok(requests) => {
                    tracing::info!(requests, "past requests were recalled");
                    return shown;
                }
                Err(error) => {
                    tracing::warn!(attempt, %error, "past requests could not be recalled");
                    thread::sleep(PAUSE * 2_u32.pow(attempt - 1));
                }
            }
            if !is_wanted() {
                break;
            }
        }
        Vec::new()
    }

    /// Shows each pool what was asked for; how many requests that were.
    fn show(
        &self,
        pools: &mut [PlannedPool],
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<u64, HistoryError> {
        // Imports may hold usage too, which planners have no use for.
        let mut files = self.imports.clone();
        files.extend(self.history.past_requests()?);
        if files.is_empty() {
            return Ok(0);
        }
        let files = request_files(&files)?;
        if files.is_empty() {
            return Ok(0);
        }
        let places = pools.iter().enumerate();
        let places: BTreeMap<PoolName, usize> = places
            .map(|(place, pool)| (pool.name().clone(), place))
            .collect();
        let mut recalled = 0;
        for record in RequestReader::open(&HistoryPaths::expand(&files)?)? {
            let record = record?;
            let place = places.get(&record.pool);
            if let Some(&place) = place.filter(|_| record.at < self.until) {
                pools[place].remember(arrival_of(&record), Past::Unknown);
                recalled += 1;
            }
            if !is_wanted() {
                break;
            }
        }
        for pool in pools.iter_mut().take_while(|_| is_wanted()) {
            pool.live_through_the_remembered(self.until);
        }
        Ok(recalled)
    }
}

impl Planning {
    /// Waits for the past, but not for long.
    pub(super) async fn wait_for_a_short_past(&mut self) -> Result<(), EngineError> {
        let Some(mut recalling) = self.recalling.take() else {
            return Ok(());
        };
        let wait = LONGEST_WAIT.min(self.config.value.tick);
        if let Ok(past) = timeout(wait, &mut recalling).await {
            return self.take_up(past.unwrap_or_default()).await;
        }
        self.recalling = Some(recalling);
        Ok(())
    }

    /// Takes the past up once it is known.
    pub(super) async fn take_up_the_past(&mut self) -> Result<(), EngineError> {
        let Some(recalling) = &mut self.recalling else {
            return Ok(());
        };
        match recalling.try_recv() {
            Ok(past) => self.take_up(past).await,
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Closed) => self.take_up(Vec::new()).await,
        }
    }

    async fn take_up(&mut self, past: Vec<PlannedPool>) -> Result<(), EngineError> {
        self.recalling = None;
        let now = self.now();
        let mut pools = std::mem::take(&mut self.pools);
        let lived = tokio::task::spawn_blocking(move || {
            for one in past {
                if let Some(pool) = pools.get_mut(one.name())
                    && let Err(error) = pool.take_up(one, now)
                {
                    tracing::error!(pool = %pool.name(), %error, "settings were refused");
                }
            }
            pools
        });
        self.pools = lived.await.map_err(|_| EngineError::Stopped)?;
        Ok(())
    }

    /// Before the past is known no pool shrinks, unless somebody says how large it is to be.
    pub(super) fn keep_up(&self, plans: &mut Plans, inventory: &[PoolInventory]) {
        if self.recalling.is_none() {
            return;
        }
        for PoolInventory { status, .. } in inventory {
            let name = &status.name;
            let overrides = &self.overrides.value;
            let fixed = overrides
                .iter()
                .any(|one| one.pool == *name && one.subject == OverrideSubject::Pool);
            let (Some((_, view)), Some(pool)) = (plans.get_mut(name), self.pools.get(name)) else {
                continue;
            };
            if !fixed && view.proposed.is_none() {
                kept_up(view, status.target, pool.settings().max);
            }
        }
    }
}

/// Keeps a pool as large as it is, within what is allowed, and says so if that is more than was planned.
fn kept_up(view: &mut PoolPlanView, present: u32, max: u32) {
    let reserved: u32 = view.reserved.values().sum();
    let (planned, kept) = (view.target, present.min(max.saturating_add(reserved)));
    if planned < kept {
        view.target = kept;
        let reason =
            format!("past requests are still being read: {planned} became {kept}, as before");
        view.reasons.push(reason);
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::EntityId;

    use super::*;

    #[test]
    fn a_pool_is_kept_as_large_as_it_is_within_its_bound() {
        let kept = |target, present, max| {
            let mut view = PoolPlanView {
                pool: PoolName::new("web").unwrap(),
                target,
                reserved: BTreeMap::from([(EntityId::new("ada").unwrap(), 1)]),
                proposed: None,
                reasons: Vec::new(),
            };
            kept_up(&mut view, present, max);
            (view.target, view.reasons.len())
        };
        assert_eq!(kept(2, 7, 10), (7, 1));
        assert_eq!(kept(2, 7, 4), (5, 1), "what is kept for Ada comes on top");
        assert_eq!(kept(8, 7, 10), (8, 0), "more is planned anyway");
    }
}
