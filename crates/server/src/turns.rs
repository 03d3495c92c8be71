//! Calls that ask for an allocation: how many are under way, and how long one takes.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{clock::now, error::ApiError};
use foreshadow_access::{CallRate, Meter};
use foreshadow_types::Timestamp;

/// What a caller is told before a call has ended.
const UNKNOWN: Duration = Duration::from_millis(100);
/// The shortest and the longest delay that a caller is told.
const SOONEST: Duration = Duration::from_millis(1);
const LATEST: Duration = Duration::from_secs(10);
/// Each call counts for one of so many in the time that a call takes.
const REMEMBERED: u64 = 16;
/// Calls under way for each core beyond which there is a queue. So many keep a core busy, and a ledger whose
/// commits take 4 ms at 16,000 claims a second; more only make all others wait longer, and hold instances
/// meanwhile that nobody uses.
const QUEUE_A_CORE: usize = 64;
/// Calls that may queue beyond that: so many at once, as when a thousand jobs begin together, and so many a
/// second. What goes on for longer is no burst, and ends only when some are refused.
const BURSTS: CallRate = CallRate::constant(1_000, 4_096);

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
    /// What calls queue for the processors.
    queue: Queue,
    /// Messages that wait.
    waiting: AtomicUsize,
    /// How long a turn takes of late; 0 before the first has ended.
    took_ns: AtomicU64,
}

/// Calls that wait because there are too many of them.
#[derive(Debug)]
struct Queue {
    /// It begins with so many calls under way.
    from: usize,
    bursts: Meter,
}

impl Queue {
    fn new(from: usize) -> Self {
        Self {
            from,
            bursts: Meter::new(BURSTS),
        }
    }

    /// Whether a further call would wait behind more than a burst.
    fn is_full(&self, under_way: usize, now: Timestamp) -> bool {
        under_way >= self.from && self.bursts.take(now).is_err()
    }
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
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Shared {
            all: Arc::new(Semaphore::new(most)),
            messages: Arc::new(Semaphore::new(of_messages(most))),
            most,
            waiting: AtomicUsize::new(0),
            took_ns: AtomicU64::new(0),
            queue: Queue::new(QUEUE_A_CORE * cores),
        }))
    }

    /// A turn for a claim.
    ///
    /// # Errors
    /// As [`take`](Self::take), and if more claims than the processors keep up with are under way and it is no
    /// burst.
    pub(crate) fn claim(&self) -> Result<Turn, ApiError> {
        if self.0.queue.is_full(self.calls(), now()) {
            return Err(ApiError::busy(self.delay()));
        }
        self.take()
    }

    /// A turn for any call.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if all are taken, with the time in which those will have ended.
    pub(crate) fn take(&self) -> Result<Turn, ApiError> {
        let permit = self.0.all.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::busy(self.delay()))?;
        Ok(self.turn([Some(permit), None]))
    }

    /// Calls under way, without messages.
    fn calls(&self) -> usize {
        let Shared {
            all,
            messages,
            most,
            ..
        } = &*self.0;
        let taken = most - all.available_permits();
        let of_messages = of_messages(*most) - messages.available_permits();
        taken.saturating_sub(of_messages)
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

/// How many of all turns messages may have.
fn of_messages(most: usize) -> usize {
    most - most / 4
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
    fn a_burst_is_taken_and_what_goes_on_is_not() {
        let queue = Queue::new(64);
        let at = |ms: i64| Timestamp::from_millis(1_000_000 + ms);
        let taken = |calls: usize, ms| (0..calls).filter(|_| !queue.is_full(500, at(ms))).count();
        assert_eq!(taken(3_000, 0), 3_000, "a burst");
        assert_eq!(
            taken(3_000, 10),
            1_106,
            "and more of it than is kept up with"
        );
        assert_eq!(
            taken(3_000, 110),
            100,
            "what is made good in a tenth of a second"
        );
        assert!(!queue.is_full(63, at(110)), "there is room");
        assert_eq!(taken(3_000, 10_000), 3_000, "long after: another burst");
    }

    #[test]
    fn a_queue_of_claims_refuses_claims_and_nothing_else() {
        let turns = Turns::new(100_000);
        let mut held = Vec::new();
        let refused = (0..50_000).find_map(|_| match turns.claim() {
            Ok(turn) => {
                held.push(turn);
                None
            }
            Err(refused) => Some(refused),
        });
        assert!(refused.is_some_and(|refused| refused.retry_after.is_some()));
        assert!(held.len() >= 4_096, "bursts are taken: {}", held.len());
        assert!(turns.take().is_ok());
    }

    #[test]
    fn messages_of_streams_are_no_queue_of_calls() {
        let turns = Turns::new(4_096);
        let _messages: Vec<_> = (0..3_000)
            .map(|_| turns.wait().now_or_never().unwrap())
            .collect();
        let _call = turns.take().unwrap();
        assert_eq!(turns.calls(), 1);
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
        let alone = Duration::from_nanos(turns.0.took_ns.load(Ordering::Relaxed));
        let told = delay_of(turns.take());
        assert!(told >= (2 * alone).max(SOONEST));
        drop(more);
        assert_eq!(turns.0.waiting.load(Ordering::Relaxed), 0);
        drop((messages, calls));
        assert_eq!(turns.0.all.available_permits(), 8);
        assert_eq!(turns.0.messages.available_permits(), 6);
    }
}
