//! Calls that ask for an allocation: how many are under way, how long one takes, and how long it waits
//! before anything looks at it.

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

use crate::error::ApiError;

/// What a caller is told before a call has ended.
const UNKNOWN: Duration = Duration::from_millis(100);
/// The shortest and the longest delay that a caller is told.
const SOONEST: Duration = Duration::from_millis(1);
const LATEST: Duration = Duration::from_secs(10);
/// Each call counts for one of so many in the time that a call takes, and in the time that it waits.
const REMEMBERED: u64 = 16;
/// Calls under way for each core beyond which there is a queue for the processors. So many keep the cores
/// and the commits of a ledger busy; more only make all others wait longer.
const QUEUE_A_CORE: usize = 64;
/// A queue that has stood for this long is no burst any more: it does not end by itself. After Nichols and
/// Jacobson, "Controlling Queue Delay", ACM Queue 10:5, 2012, whose interval it is.
const STANDING: Duration = Duration::from_millis(100);
/// How long after the last refusal a queue is still taken for one that stands.
const STRICT: Duration = Duration::from_secs(1);
/// Calls that wait no longer than this for a processor wait for something else, a disk or a database: they
/// are no queue, and to refuse others would help nobody.
const AT_ONCE: Duration = Duration::from_micros(250);

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
    /// How long a turn takes of late.
    took: Lately,
}

/// Calls that wait for a processor because there are too many of them.
#[derive(Debug)]
struct Queue {
    since: Instant,
    /// It begins with so many calls under way.
    from: usize,
    /// When fewer were under way for the last time, in milliseconds.
    short_ms: AtomicU64,
    /// Until when calls are refused for it, in milliseconds.
    strict_ms: AtomicU64,
    /// How long a call waits of late from its turn to its beginning.
    waited: Lately,
}

impl Queue {
    fn new(from: usize) -> Self {
        Self {
            since: Instant::now(),
            from,
            short_ms: AtomicU64::new(0),
            strict_ms: AtomicU64::new(0),
            waited: Lately::default(),
        }
    }

    /// Whether a further call would wait behind too many.
    fn stands(&self, under_way: usize, now: Instant) -> bool {
        let now_ms = now.duration_since(self.since).as_millis() as u64;
        if under_way < self.from {
            self.short_ms.store(now_ms, Ordering::Relaxed);
            return false;
        }
        let standing = now_ms.saturating_sub(self.short_ms.load(Ordering::Relaxed));
        let strict = now_ms < self.strict_ms.load(Ordering::Relaxed);
        let waits = self.waited.get().is_some_and(|wait| wait > AT_ONCE);
        if !waits || !(strict || standing > STANDING.as_millis() as u64) {
            return false;
        }
        let until = now_ms + STRICT.as_millis() as u64;
        self.strict_ms.store(until, Ordering::Relaxed);
        true
    }
}

/// A time, averaged over the latest of many; nothing before the first.
#[derive(Debug, Default)]
struct Lately(AtomicU64);

impl Lately {
    fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    fn note(&self, time: Duration) {
        let time_ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        // One that is lost to another at the same time changes little.
        let next = match self.0.load(Ordering::Relaxed) {
            0 => time_ns,
            before => before - before / REMEMBERED + time_ns / REMEMBERED,
        };
        self.0.store(next.max(1), Ordering::Relaxed);
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
        let messages = most - most / 4;
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Shared {
            all: Arc::new(Semaphore::new(most)),
            messages: Arc::new(Semaphore::new(messages)),
            most,
            waiting: AtomicUsize::new(0),
            took: Lately::default(),
            queue: Queue::new(QUEUE_A_CORE * cores),
        }))
    }

    /// A turn for a call.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if all are taken, or if more calls than the processors keep up with have been
    /// under way for a while, with the time in which those will have ended.
    pub(crate) fn take(&self) -> Result<Turn, ApiError> {
        let shared = &self.0;
        let under_way = shared.most - shared.all.available_permits();
        let busy = || ApiError::busy(self.delay());
        if shared.queue.stands(under_way, Instant::now()) {
            return Err(busy());
        }
        let permit = shared.all.clone().try_acquire_owned();
        Ok(self.turn([Some(permit.map_err(|_| busy())?), None]))
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
        let took = shared.took.get().unwrap_or(UNKNOWN);
        let waiting = shared.waiting.load(Ordering::Relaxed);
        let rounds = 1.0 + waiting as f64 / shared.most.max(1) as f64;
        took.mul_f64(rounds).clamp(SOONEST, LATEST)
    }
}

impl Turn {
    /// The call begins: until now it has waited for a processor.
    pub(crate) fn begin(&self) {
        self.turns.0.queue.waited.note(self.began.elapsed());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.took.note(self.began.elapsed());
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
            turns.0.took.note(Duration::from_millis(40));
        }
        let _held = [turns.take().unwrap(), turns.take().unwrap()];
        let told = delay_of(turns.take());
        assert!(told.as_millis().abs_diff(40) <= 2, "{told:?}");
        turns.0.took.note(Duration::from_hours(1));
        assert_eq!(delay_of(turns.take()), LATEST);
    }

    fn waiting(from: usize, each: Duration) -> Queue {
        let queue = Queue::new(from);
        for _ in 0..200 {
            queue.waited.note(each);
        }
        queue
    }

    #[test]
    fn a_burst_is_taken_and_a_queue_that_stands_is_not_added_to() {
        let queue = waiting(64, Duration::from_millis(5));
        let at = |ms| queue.since + Duration::from_millis(ms);
        assert!(!queue.stands(10, at(1_000)));
        assert!(!queue.stands(1_000, at(1_090)), "a burst");
        assert!(!queue.stands(20, at(1_099)));
        assert!(!queue.stands(1_000, at(1_190)), "another");
        assert!(queue.stands(1_000, at(1_201)), "no burst any more");
        assert!(!queue.stands(63, at(1_300)), "there is room");
        assert!(queue.stands(64, at(2_100)), "and again there is none");
        assert!(!queue.stands(63, at(3_200)));
        assert!(
            !queue.stands(64, at(3_290)),
            "long after the last refusal: a burst"
        );
    }

    #[test]
    fn who_waits_for_a_disk_is_no_queue() {
        let queue = waiting(64, Duration::from_micros(20));
        assert!(!queue.stands(4_000, queue.since + Duration::from_mins(1)));
    }

    #[test]
    fn messages_wait_for_each_other_and_leave_turns_to_calls() {
        let turns = Turns::new(8);
        let messages: Vec<_> = (0..6)
            .map(|_| turns.wait().now_or_never().unwrap())
            .collect();
        turns.0.took.note(Duration::from_millis(1));
        let mut more = Box::pin(join_all((0..8).map(|_| turns.wait())));
        assert!((&mut more).now_or_never().is_none());
        let calls = [turns.take().unwrap(), turns.take().unwrap()];
        let alone = turns.0.took.get().unwrap();
        let told = delay_of(turns.take());
        assert!(told >= (2 * alone).max(SOONEST));
        drop(more);
        assert_eq!(turns.0.waiting.load(Ordering::Relaxed), 0);
        drop((messages, calls));
        assert_eq!(turns.0.all.available_permits(), 8);
        assert_eq!(turns.0.messages.available_permits(), 6);
    }
}
