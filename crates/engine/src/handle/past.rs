//! What was known of users at a past time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_types::{EntityId, Timestamp, UserId};
use tokio::sync::Semaphore;

use super::EngineHandle;
use crate::{
    collector::{CollectorCommand, HistoryFolder},
    error::EngineError,
    views::ResourceShadowView,
};

/// Past shadows that are made at a time; further ones wait.
const AT_ONCE: usize = 2;
/// Rows of the latest moments may be in no file yet.
const UNSEALED: Duration = Duration::from_mins(2);

/// What past shadows are made from.
#[derive(Debug)]
pub(crate) struct PastShadows {
    history: HistoryFolder,
    /// How long the history is kept.
    keep: Option<Duration>,
    permits: Arc<Semaphore>,
}

impl PastShadows {
    pub(crate) fn new(history: HistoryFolder, keep: Option<Duration>) -> Self {
        Self {
            history,
            keep,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Whether the history can tell of a time.
    fn check(&self, at: Timestamp, now: Timestamp) -> Result<(), EngineError> {
        let refused = |mend: String| EngineError::Argument {
            field: "at",
            value: at.to_string(),
            mend,
        };
        if at > now {
            return Err(refused(format!("give a time that has passed; it is {now}")));
        }
        match self.keep.map(|keep| now - keep) {
            Some(earliest) if at < earliest => Err(refused(format!(
                "the history is kept from {earliest} on; give a later time, or raise `keep_history`"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

impl EngineHandle {
    /// The resource shadow of a user as it was at a past time, made again from the history of the week
    /// before it: usage, accesses and dependencies. Its category, forecasts, reservations and
    /// allocations are not in the history and are left out. Takes up to seconds.
    ///
    /// # Errors
    /// [`EngineError::Argument`] for a time ahead or before what is kept,
    /// [`EngineError::UnknownThen`] if nothing was known of them, [`EngineError::Ledger`] if the
    /// history cannot be read.
    pub async fn resource_shadow_at(
        &self,
        user: &UserId,
        at: Timestamp,
    ) -> Result<ResourceShadowView, EngineError> {
        let past = &self.shared.past;
        let now = self.shared.numbers.clock.now();
        past.check(at, now)?;
        let permit = past.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| EngineError::Stopped)?;
        if now.since(at) < UNSEALED {
            self.ask_collector(|reply| CollectorCommand::Flush { reply })
                .await?;
        }
        let (history, entity) = (past.history.clone(), EntityId::from(user));
        let asked = entity.clone();
        let made = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            history.shadow_at(&asked, at)
        });
        let made = made.await.map_err(|_| EngineError::Stopped)?;
        let shadow = made.map_err(|error| EngineError::Ledger(format!("the history: {error}")))?;
        Ok(ResourceShadowView {
            shadow: shadow.ok_or(EngineError::UnknownThen { entity, at })?,
            forecasts: Vec::new(),
            allocations: Vec::new(),
            reserved: BTreeMap::new(),
            overrides: Vec::new(),
            accuracy: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_the_history_cannot_tell_of_are_refused_with_those_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let history = HistoryFolder::open(dir.path(), &dir.path().join("journal")).unwrap();
        let day = Duration::from_hours(24);
        let past = PastShadows::new(history.clone(), Some(day * 7));
        let now = Timestamp::parse("2026-03-10T12:00:00Z").unwrap();
        assert_eq!(past.check(now, now), Ok(()));
        assert_eq!(past.check(now - day * 7, now), Ok(()));
        let refused = |at| past.check(at, now).unwrap_err().to_string();
        let ahead = refused(now + day);
        assert!(
            ahead.contains("2026-03-11") && ahead.contains("has passed"),
            "{ahead}"
        );
        let gone = refused(now - day * 8);
        assert!(gone.contains("from 2026-03-03T12:00:00Z on"), "{gone}");
        assert_eq!(
            PastShadows::new(history, None).check(now - day * 999, now),
            Ok(())
        );
    }
}
