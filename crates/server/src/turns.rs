//! Calls that ask for an allocation: how many are under way, and how long one takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::error::ApiError;

/// What a caller is told before a call has ended.
const UNKNOWN: Duration = Duration::from_millis(100);
/// The shortest and the longest delay that a caller is told.
const SOONEST: Duration = Duration::from_millis(1);
const LATEST: Duration = Duration::from_secs(10);
/// Each call counts for one of so many in the time that a call takes.
const REMEMBERED: u64 = 16;

/// A bounded number of turns; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// One permit for each call and each message of a stream under way.
    all: Arc<Semaphore>,
    /// Messages of streams have three quarters of them: they wait for a turn, in order, and would leave
    /// none to calls, which do not wait.
    messages: Arc<Semaphore>,
    most: usize,
    /// Messages that wait.
    waiting: AtomicUsize,
    /// How long a turn takes of late; 0 before the first has ended.
    took_ns: AtomicU64,
}

/// A turn; the next may have it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    began: Instant,
    /// None once the semaphores are closed, which they never are.
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Turns {
    pub(crate) fn new(most: usize) -> Self {
        let messages = most - most / 4;
        Self(Arc::new(Shared {
            all: Arc::new(Semaphore::new(most)),
            messages: Arc::new(Semaphore::new(messages)),
            most,
            waiting: AtomicUsize::new(0),
            took_ns: AtomicU64::new(0),
        }))
    }

    /// A turn for a call.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if all are taken, with the time in which those will have ended.
    pub(crate) fn take(&self) -> Result<Turn, ApiError> {
        let permit = self.0.all.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::busy(self.delay()))?;
        Ok(self.turn([Some(permit), None]))
    }

    /// A turn for a message of a stream, when there is one: a caller that sends too much is not read
    /// meanwhile.
    pub(crate) async fn wait(&self) -> Turn {
        let shared = &self.0;
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&shared.waiting);
        let message = shared.messages.clone().acquire_owned().await;
        let permit = shared.all.clone().acquire_owned().await;
        drop(waiting);
        self.turn([permit.ok(), message.ok()])
    }

    fn turn(&self, permits: [Option<OwnedSemaphorePermit>; 2]) -> Turn {
        Turn {
            turns: self.clone(),
            began: Instant::now(),
            _permits: permits,
        }
    }

    /// The time in which those under way and those that wait will have had their turns.
    fn delay(&self) -> Duration {
        let shared = &self.0;
        let took = match shared.took_ns.load(Ordering::Relaxed) {
            0 => UNKNOWN,
            took_ns => Duration::from_nanos(took_ns),
        };
        let waiting = shared.waiting.load(Ordering::Relaxed);
        let rounds = 1.0 + waiting as f64 / shared.most.max(1) as f64;
        took.mul_f64(rounds).clamp(SOONEST, LATEST)
    }

    fn note(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let known = &self.0.took_ns;
        // One that is lost to another at the same time changes little.
        let next = match known.load(Ordering::Relaxed) {
            0 => took_ns,
            before => before - before / REMEMBERED + took_ns / REMEMBERED,
        };
        known.store(next.max(1), Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.note(self.began.elapsed());
    }
}

/// One that waits, until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future::join_all};

    use super::*;

    fn delay_of(refused: Result<Turn, ApiError>) -> Duration {
        refused.unwrap_err().retry_after.unwrap()
    }

    #[test]
    fn who_is_refused_is_told_how_long_calls_take() {
        let turns = Turns::new(2);
        let held = [turns.take().unwrap(), turns.take().unwrap()];
        assert_eq!(delay_of(turns.take()), UNKNOWN);
        drop(held);
        for _ in 0..200 {
            turns.note(Duration::from_millis(40));
        }
        let _held = [turns.take().unwrap(), turns.take().unwrap()];
        let told = delay_of(turns.take());
        assert!(told.as_millis().abs_diff(40) <= 2, "{told:?}");
        turns.note(Duration::from_hours(1));
        assert_eq!(delay_of(turns.take()), LATEST);
    }

    #[test]
    fn messages_wait_for_each_other_and_leave_turns_to_calls() {
        let turns = Turns::new(8);
        let messages: Vec<_> = (0..6)
            .map(|_| turns.wait().now_or_never().unwrap())
            .collect();
        turns.note(Duration::from_millis(1));
        let mut more = Box::pin(join_all((0..8).map(|_| turns.wait())));
        assert!((&mut more).now_or_never().is_none());
        let calls = [turns.take().unwrap(), turns.take().unwrap()];
        let alone = turns.0.took_ns.load(Ordering::Relaxed);
        let told = delay_of(turns.take());
        assert!(told >= Duration::from_nanos(2 * alone).max(SOONEST));
        drop(more);
        assert_eq!(turns.0.waiting.load(Ordering::Relaxed), 0);
        drop((messages, calls));
        assert_eq!(turns.0.all.available_permits(), 8);
        assert_eq!(turns.0.messages.available_permits(), 6);
    }
}
