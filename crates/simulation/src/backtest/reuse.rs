//! A pool whose instances come back after use, under the hybrid histogram policy.
//!
//! An instance is held as long as the request says. What happens at one moment happens in this
//! order: uses end and instances become ready, then requests come, then instances expire. A request
//! takes the ready instance that was used last; if there is none it joins the oldest unpromised
//! start, else starts its own instance.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use foreshadow_planner::{
    Outcome,
    baselines::{IdleTimes, Windows},
};

use super::{PoolTrace, Setting, Tally, startup::StartupDraws};

/// Something that happens to an instance; the order is that within one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A use ends.
    Free,
    /// An instance that was planned for is started.
    PreWarm { keep_alive_ms: i64 },
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
        starting: BTreeMap::new(),
        ready: BTreeMap::new(),
        ended_ms: Vec::new(),
        next: 0,
        tally,
    };
    for index in 0..pool.len() {
        let arrival = pool.arrival(index);
        let hold_ms = arrival.hold.unwrap_or_default().as_millis() as i64;
        replay.request(arrival.at.as_millis(), hold_ms);
    }
    replay.close(setting.to().as_millis())
}

/// An instance that is starting for nobody yet.
#[derive(Debug, Clone, Copy)]
struct Starting {
    asked_ms: i64,
    ready_ms: i64,
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
    /// The unpromised starting instances, numbers ascending with the time of asking.
    starting: BTreeMap<u64, Starting>,
    /// The ready instances, numbers ascending with the time of becoming ready.
    ready: BTreeMap<u64, Idle>,
    /// Ends of uses that no request has followed yet, last in first out.
    ended_ms: Vec<i64>,
    next: u64,
    tally: Tally,
}

impl Reuse {
    fn request(&mut self, now_ms: i64, hold_ms: i64) {
        self.advance(now_ms);
        if let Some(ended_ms) = self.ended_ms.pop() {
            self.idle_times
                .observe(Duration::from_millis((now_ms - ended_ms) as u64));
        }
        let (outcome, served_ms) = self.serve(now_ms);
        self.tally.request(now_ms, served_ms, outcome);
        self.at(served_ms.saturating_add(hold_ms), Event::Free);
    }

    fn serve(&mut self, now_ms: i64) -> (Outcome, i64) {
        if let Some((_, idle)) = self.ready.pop_last() {
            self.tally.idle(idle.ready_ms, now_ms);
            return (Outcome::Hit, now_ms);
        }
        if let Some((_, starting)) = self.starting.pop_first() {
            return (Outcome::Join, starting.ready_ms);
        }
        self.tally.start(now_ms);
        (Outcome::Miss, now_ms + self.draws.next_ms())
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
            Event::Free => self.free(now_ms),
            Event::PreWarm { keep_alive_ms } => self.pre_warm(now_ms, keep_alive_ms),
            Event::Ready {
                number,
                keep_alive_ms,
            } => {
                // Someone may have been promised it meanwhile.
                if let Some(starting) = self.starting.remove(&number) {
                    self.keep(now_ms, starting.asked_ms, keep_alive_ms);
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
            self.at(ask_ms, Event::PreWarm { keep_alive_ms });
        }
    }

    fn pre_warm(&mut self, now_ms: i64, keep_alive_ms: i64) {
        let number = self.number();
        let ready_ms = now_ms + self.draws.next_ms();
        let starting = Starting {
            asked_ms: now_ms,
            ready_ms,
        };
        self.starting.insert(number, starting);
        self.tally.start(now_ms);
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
        let starting = self
            .starting
            .into_values()
            .map(|starting| starting.asked_ms);
        for since_ms in ready.chain(starting) {
            self.tally.idle(since_ms, end_ms);
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_planner::Arrival;
    use foreshadow_types::{PoolName, Timestamp};

    use super::*;
    use crate::backtest::{StartupTime, Trace, TraceBuilder};

    /// Requests at (minute, minutes held), all of one pool.
    fn replay(requests: &[(u64, u64)]) -> Tally {
        let trace = trace(requests);
        let startup = StartupTime::fixed(Duration::from_secs(30));
        let tick = Duration::from_mins(1);
        let setting = Setting::new(&trace, trace.start(), tick, startup).unwrap();
        let tally = Tally::keeping_waits(&setting);
        replay_reused(&trace.pools()[0], &setting, 0.99, tally)
    }

    fn trace(requests: &[(u64, u64)]) -> Trace {
        let mut builder = TraceBuilder::new();
        for &(at, held) in requests {
            let arrival = Arrival {
                at: Timestamp::from_millis(0) + Duration::from_mins(at),
                user: 0,
                application: 0,
                hold: Some(Duration::from_mins(held)),
            };
            builder
                .push(&PoolName::new("p").unwrap(), &arrival)
                .unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn an_instance_is_used_again_and_idles_between_its_uses() {
        // Started at 0, ready at 0:30, held to 10:30; used again at 20.
        let tally = replay(&[(0, 10), (20, 10)]);
        assert_eq!((tally.misses(), tally.hits(), tally.starts()), (1, 1, 1));
        assert_eq!(tally.idle_ms(), 570_000);
    }

    #[test]
    fn an_instance_in_use_serves_nobody_else() {
        let tally = replay(&[(0, 10), (5, 10)]);
        assert_eq!((tally.misses(), tally.starts()), (2, 2));
    }

    #[test]
    fn an_instance_that_is_not_wanted_for_four_hours_is_gone() {
        let tally = replay(&[(0, 10), (300, 1)]);
        assert_eq!((tally.misses(), tally.hits()), (2, 0));
        assert_eq!(tally.idle_ms(), 4 * 3_600_000);
    }

    #[test]
    fn a_steady_rhythm_is_met_by_starting_again_in_time() {
        let requests: Vec<(u64, u64)> = (0..100).map(|round| (round * 60, 1)).collect();
        let tally = replay(&requests);
        assert_eq!(tally.misses(), 1);
        // Kept for the first rounds, then ready from some minutes before each request only.
        assert!(tally.idle_ms() < 99 * 15 * 60_000, "{}", tally.idle_ms());
    }
}
