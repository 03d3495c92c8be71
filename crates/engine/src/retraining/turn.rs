//! Whose turn it is to train, where several engines train beside each other.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

/// What a lock answers in time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Lets one training of several go on at a time.
pub trait TrainingLock: Send + Sync {
    /// Waits until nobody else trains, and takes the turn; or why there is none.
    fn take(&self) -> Answer<'_, Result<Box<dyn TrainingTurn>, String>>;
}

/// The right to train. Dropping it gives it back, soon if not at once.
pub trait TrainingTurn: Send {
    /// Rises from turn to turn, whoever has it.
    fn epoch(&self) -> u64;
    /// How long ago the last training was done, whoever did it.
    fn since_last(&self) -> Option<Duration>;
    /// Completes when the turn is lost, and keeps it until then: while it is not polled, the turn may
    /// be lost unnoticed.
    fn lost(&mut self) -> Answer<'_, ()>;
    /// Whether the turn is still this one's, asked of whoever keeps it; or why that cannot be told.
    fn confirm(&mut self) -> Answer<'_, Result<bool, String>>;
    /// Lets others train, and tells them whether this training is done.
    fn give_back(self: Box<Self>, done: bool) -> Answer<'static, ()>;
}

/// Where an engine gets its turns to train.
#[derive(Clone, Default)]
pub struct TrainingTurns(Option<Arc<dyn TrainingLock>>);

impl TrainingTurns {
    /// As this lock gives them. Without one, which is the default, an engine trains whenever it is to.
    pub fn of(lock: Arc<dyn TrainingLock>) -> Self {
        Self(Some(lock))
    }

    pub(super) async fn next(&self) -> Result<Turn, String> {
        match &self.0 {
            Some(lock) => lock.take().await.map(|turn| Turn(Some(turn))),
            None => Ok(Turn(None)),
        }
    }
}

impl fmt::Debug for TrainingTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.as_ref().map_or("any time", |_| "in turn");
        f.debug_tuple("TrainingTurns").field(&kind).finish()
    }
}

/// Of the same lock.
impl PartialEq for TrainingTurns {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Eq for TrainingTurns {}

/// A turn, or the freedom of an engine that trains whenever it is to.
pub(super) struct Turn(Option<Box<dyn TrainingTurn>>);

impl Turn {
    /// Does something that is given up when the turn is lost meanwhile.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let Some(turn) = &mut self.0 else {
            return work.await;
        };
        tokio::select! {
            done = work => done,
            () = turn.lost() => Err(LOST.to_owned()),
        }
    }

    /// Whether what was trained may be used.
    pub(super) async fn confirm(&mut self) -> Result<(), String> {
        let Some(turn) = &mut self.0 else {
            return Ok(());
        };
        let held = turn.confirm().await?;
        held.then_some(()).ok_or_else(|| LOST.to_owned())
    }

    pub(super) fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(0, |turn| turn.epoch())
    }

    /// Whether a training was done less than this time ago.
    pub(super) fn follows_within(&self, time: Duration) -> bool {
        let last = self.0.as_ref().and_then(|turn| turn.since_last());
        last.is_some_and(|ago| ago < time)
    }

    pub(super) async fn give_back(self, done: bool) {
        if let Some(turn) = self.0 {
            turn.give_back(done).await;
        }
    }
}

const LOST: &str = "another replica trains by now, since this one's turn could not be renewed in time; \
                    the next training is as usual";
