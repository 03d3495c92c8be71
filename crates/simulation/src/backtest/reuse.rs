//! A pool whose instances come back after use, under the hybrid histogram policy.
//!
//! An instance is held as long as the request says. What happens at one moment happens in this
//! order: uses end and instances become ready, then requests come, then instances expire. A request
//! takes the ready instance that was used last; if there is none it joins the oldest unpromised
//! start, else starts its own instance. A start that fails is tried again at once, in its place. A
//! request that starts its own came earlier than expected: it follows the use that ended last of those
//! whose instance was to be started again later, and that is not done then. Where the pool is full, a
//! request waits in order for the next use that ends and takes its instance; what was planned ahead is
//! not started.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use foreshadow_planner::{
    MissCause, Outcome,
    baselines::{IdleTimes, Windows},
};

use super::{
    PoolTrace, Setting, Tally,
    fleet::Claim,
    room::Room,
    sharing::{Guest, Sharing, Slot},
    startup::{Birth, StartupDraws},
};

/// Something that happens to an instance; the order is that within one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A use ends, unless the instance is shared and others still hold it.
    Free { slot: Slot },
    /// An instance that was planned for is started, unless a request came before.
    PreWarm { number: u64, keep_alive_ms: i64 },
    /// A failed start is tried again.
    Retry,
    /// A start that may be unpromised is done.
    Ready { number: u64, keep_alive_ms: i64 },
    /// A ready instance has been kept long enough, unless it was used since.
    Expire { number: u64 },
}

/// Replays one pool whose requests all say how long they hold; `tail` is the policy's percentile.
pub(crate) fn replay_reused(pool: &PoolTrace, setting: &Setting, tail: f64, tally: Tally) -> Tally {
    let mut replay = Reuse {
        idle_times: IdleTimes::new(tail),
        draws: setting.startup().draws(),
        startup: setting.startup().typical(),
        events: BinaryHeap::new(),
        room: Room::new(setting.max_instances()),
        sharing: pool.sharing(),
        passed_on: BTreeMap::new(),
        planned: BTreeSet::new(),
        starting: BTreeMap::new(),
        ready: BTreeMap::new(),
        ended_ms: Vec::new(),
        next: 0,
        tally,
    };
    for index in 0..pool.len() {
        replay.request(&pool.guest(index), || pool.arrival(index).who());
    }
    replay.close(setting.to().as_millis())
}

/// An instance that waits for a request.
#[derive(Debug, Clone, Copy)]
struct Idle {
    /// Idle since then if a request takes it.
    ready_ms: i64,
    /// Idle since then if none does: where it was started for nothing, its start counts.
    unused_since_ms: i64,
}

struct Reuse {
    idle_times: IdleTimes,
    draws: StartupDraws,
    startup: Duration,
    events: BinaryHeap<Reverse<(i64, Event)>>,
    room: Room,
    /// Who holds instances that others may share.
    sharing: Option<Sharing>,
    /// How many uses end at each moment whose instances go straight to requests that wait.
    passed_on: BTreeMap<i64, u32>,
    /// The starts that are planned, numbers ascending with the ends of the uses that they follow.
    planned: BTreeSet<u64>,
    /// The unpromised starting instances, numbers ascending with the time of asking.
    starting: BTreeMap<u64, Birth>,
    /// The ready instances, numbers ascending with the time of becoming ready.
    ready: BTreeMap<u64, Idle>,
    /// Ends of uses that no request has followed yet, last in first out.
    ended_ms: Vec<i64>,
    next: u64,
    tally: Tally,
}

impl Reuse {
    fn request(&mut self, guest: &Guest, who: impl Fn() -> u64) {
        let now_ms = guest.at_ms;
        self.advance(now_ms);
        if self.share(guest, &who) {
            return;
        }
        if let Some(ended_ms) = self.ended_ms.pop() {
            self.idle_times
                .observe(Duration::from_millis((now_ms - ended_ms) as u64));
        }
        let claim = self.serve(now_ms);
        self.count(now_ms, &claim, who);
        let ends_ms = claim.served_ms.saturating_add(guest.hold_ms);
        self.room.give(now_ms, ends_ms);
        let sharing = self.sharing.as_mut();
        let slot = sharing.map_or(0, |sharing| sharing.take(guest, &claim));
        self.at(ends_ms, Event::Free { slot });
    }

    /// Whether the request is served by an instance that others hold.
    fn share(&mut self, guest: &Guest, who: impl FnOnce() -> u64) -> bool {
        let pool_is_ready = !self.ready.is_empty();
        let sharing = self.sharing.as_mut();
        let Some(claim) = sharing.and_then(|one| one.serve(guest, || pool_is_ready)) else {
            return false;
        };
        self.tally.shared(guest.at_ms, claim.outcome);
        self.count(guest.at_ms, &claim, who);
        true
    }

    /// Counts a request that comes now, and why it waits if it does.
    fn count(&mut self, now_ms: i64, claim: &Claim, who: impl FnOnce() -> u64) {
        self.tally
            .request(now_ms, claim.served_ms, claim.outcome, who);
        let cause = match claim.outcome {
            Outcome::Hit => return,
            Outcome::Join => MissCause::Late,
            Outcome::Miss => MissCause::UnderForecast,
        };
        self.tally.cause(now_ms, claim.trouble.unwrap_or(cause));
    }

    /// When the last of those who share an instance leaves it, if that is still to come.
    fn still_held(&self, slot: Slot, now_ms: i64) -> Option<i64> {
        let until_ms = self.sharing.as_ref()?.until_ms(slot)?;
        (until_ms > now_ms).then_some(until_ms)
    }

    fn serve(&mut self, now_ms: i64) -> Claim {
        if let Some((_, idle)) = self.ready.pop_last() {
            self.tally.idle(idle.ready_ms, now_ms);
            return Claim::of_instance(idle.ready_ms, now_ms);
        }
        if let Some((_, birth)) = self.starting.pop_first() {
            self.fail_in_vain(&birth, now_ms);
            return Claim {
                trouble: (!birth.failures.is_empty()).then_some(MissCause::FailedStart),
                ..Claim::of_instance(birth.ready_ms, now_ms)
            };
        }
        if !self.room.has_place(0) {
            let at_ms = self.room.reserve(now_ms);
            *self.passed_on.entry(at_ms).or_default() += 1;
            return Claim {
                trouble: Some(MissCause::Quota),
                ..Claim::of_its_own(at_ms)
            };
        }
        self.planned.pop_last();
        Claim::of_its_own(self.start(now_ms).ready_ms)
    }

    /// Starts an instance; each attempt counts when it begins.
    fn start(&mut self, now_ms: i64) -> Birth {
        let birth = self.draws.birth(now_ms);
        self.tally.start(now_ms);
        for &at_ms in &birth.failures {
            self.at(at_ms, Event::Retry);
        }
        birth
    }

    /// Attempts that failed before anybody waited for them idled.
    fn fail_in_vain(&mut self, birth: &Birth, now_ms: i64) {
        if let Some(&failed_ms) = birth.failures.iter().rfind(|&&at| at <= now_ms) {
            self.tally.idle(birth.asked_ms, failed_ms);
        }
    }

    /// Lets everything before `now_ms` happen, and at that moment all but expiry.
    fn advance(&mut self, now_ms: i64) {
        while let Some(&Reverse((at_ms, event))) = self.events.peek() {
            if at_ms > now_ms || (at_ms == now_ms && matches!(event, Event::Expire { .. })) {
                return;
            }
            self.events.pop();
            self.happen(at_ms, event);
        }
    }

    fn happen(&mut self, now_ms: i64, event: Event) {
        match event {
            Event::Free { slot } => match self.still_held(slot, now_ms) {
                Some(until_ms) => self.at(until_ms, event),
                None => self.free(now_ms),
            },
            Event::Retry => self.tally.start(now_ms),
            Event::PreWarm {
                number,
                keep_alive_ms,
            } => {
                if self.planned.remove(&number) {
                    self.pre_warm(now_ms, keep_alive_ms);
                }
            }
            Event::Ready {
                number,
                keep_alive_ms,
            } => {
                // Someone may have been promised it meanwhile.
                if let Some(birth) = self.starting.remove(&number) {
                    self.fail_in_vain(&birth, now_ms);
                    let last = birth.failures.last().copied();
                    self.keep(now_ms, last.unwrap_or(birth.asked_ms), keep_alive_ms);
                }
            }
            Event::Expire { number } => {
                if let Some(idle) = self.ready.remove(&number) {
                    self.tally.idle(idle.unused_since_ms, now_ms);
                }
            }
        }
    }

    fn free(&mut self, now_ms: i64) {
        if let Some(count) = self.passed_on.get_mut(&now_ms).filter(|count| **count > 0) {
            *count -= 1;
            return;
        }
        self.leave(now_ms);
        self.ended_ms.push(now_ms);
        let Windows {
            pre_warm,
            keep_alive,
        } = self.idle_times.windows();
        let keep_alive_ms = keep_alive.as_millis() as i64;
        let apart = pre_warm.saturating_sub(self.startup);
        if apart.is_zero() {
            let both_ms = (pre_warm + keep_alive).as_millis() as i64;
            self.keep(now_ms, now_ms, both_ms);
        } else {
            let ask_ms = now_ms + apart.as_millis() as i64;
            let number = self.number();
            self.planned.insert(number);
            let event = Event::PreWarm {
                number,
                keep_alive_ms,
            };
            self.at(ask_ms, event);
        }
    }

    /// The instance whose use ends is nobody's, and takes its place among those that are free.
    fn leave(&mut self, now_ms: i64) {
        if self.room.next_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.room.free_next();
        }
    }

    fn pre_warm(&mut self, now_ms: i64, keep_alive_ms: i64) {
        if !self.room.has_place(self.ready.len() + self.starting.len()) {
            return;
        }
        let birth = self.start(now_ms);
        let ready_ms = birth.ready_ms;
        let number = self.number();
        self.starting.insert(number, birth);
        let event = Event::Ready {
            number,
            keep_alive_ms,
        };
        self.at(ready_ms, event);
    }

    /// An instance is ready from now on and expires later.
    fn keep(&mut self, now_ms: i64, unused_since_ms: i64, keep_alive_ms: i64) {
        let number = self.number();
        let idle = Idle {
            ready_ms: now_ms,
            unused_since_ms,
        };
        self.ready.insert(number, idle);
        self.at(now_ms + keep_alive_ms, Event::Expire { number });
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn at(&mut self, at_ms: i64, event: Event) {
        self.events.push(Reverse((at_ms, event)));
    }

    fn close(mut self, end_ms: i64) -> Tally {
        self.advance(end_ms);
        let ready = self.ready.into_values().map(|idle| idle.unused_since_ms);
        let starting = self.starting.into_values().map(|birth| birth.asked_ms);
        for since_ms in ready.chain(starting) {
            self.tally.idle(since_ms, end_ms);
        }
        self.tally
    }
}

#[cfg(test)]
mod tests;
