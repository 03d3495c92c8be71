//! A pool whose starts fail now and then, or that holds a bounded number of instances.
//!
//! A start that fails is tried again at once, in its place: whoever was promised it waits on. Where the
//! pool is full a request that finds no instance waits, in order, for the next one that leaves, and
//! gets a start of its own in its place; only what nobody waits for goes back to the pool.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use foreshadow_planner::{MissCause, Outcome};

use super::{
    Setting, Tally,
    fleet::{Claim, Fleet, StartReport},
    room::Room,
    startup::{Birth, StartupDraws},
};

/// What happens to an instance by itself; the order is that within one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// A start that waited for a place begins.
    Begins,
    /// An attempt fails and the next begins.
    Fails,
    /// The instance is ready, so long after it was asked for.
    Ready { took: Duration },
}

/// The instances of a pool that nobody has been promised, and the fate of those that were.
#[derive(Debug)]
pub(crate) struct StrainedFleet {
    draws: StartupDraws,
    room: Room,
    /// How many there should be; there are fewer only where the pool is full.
    target: usize,
    next: u64,
    /// Starting and unpromised by number; numbers ascend with starts.
    starting: BTreeMap<u64, Birth>,
    /// Ready, in the order of becoming so.
    ready: VecDeque<Birth>,
    /// (time, number, what happens), for promised instances too.
    turns: BTreeSet<(i64, u64, Turn)>,
    reports: VecDeque<StartReport>,
}

impl StrainedFleet {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self {
            draws: setting.startup().draws(),
            room: Room::new(setting.max_instances()),
            target: 0,
            next: 0,
            starting: BTreeMap::new(),
            ready: VecDeque::new(),
            turns: BTreeSet::new(),
            reports: VecDeque::new(),
        }
    }

    fn len(&self) -> usize {
        self.starting.len() + self.ready.len()
    }

    fn is_short(&self) -> bool {
        self.len() < self.target
    }

    /// An instance whose start is asked for at `asked_ms`, now or later.
    fn conceive(&mut self, asked_ms: i64) -> (u64, Birth) {
        let birth = self.draws.birth(asked_ms);
        let number = self.next;
        self.next += 1;
        let fails = |&at: &i64| (at, number, Turn::Fails);
        self.turns.extend(birth.failures.iter().map(fails));
        let took = birth.took();
        self.turns
            .insert((birth.ready_ms, number, Turn::Ready { took }));
        (number, birth)
    }

    fn refill(&mut self, now_ms: i64, tally: &mut Tally) {
        while self.is_short() && self.room.has_place(self.len()) {
            let (number, birth) = self.conceive(now_ms);
            self.starting.insert(number, birth);
            tally.start(now_ms);
        }
    }

    /// Stops one: the newest start, else the oldest that is ready.
    fn stop_one(&mut self, now_ms: i64, tally: &mut Tally) {
        let stopped = if let Some((number, birth)) = self.starting.pop_last() {
            for &at in &birth.failures {
                self.turns.remove(&(at, number, Turn::Fails));
            }
            let took = birth.took();
            self.turns
                .remove(&(birth.ready_ms, number, Turn::Ready { took }));
            Some(birth)
        } else {
            self.ready.pop_front()
        };
        if let Some(birth) = stopped {
            tally.idle(birth.asked_ms, now_ms);
        }
    }

    fn take(&mut self) -> Option<Birth> {
        let starting = |fleet: &mut Self| fleet.starting.pop_first().map(|(_, birth)| birth);
        self.ready.pop_front().or_else(|| starting(self))
    }

    /// A start of its own for a request that found nothing.
    fn own(&mut self, now_ms: i64, tally: &mut Tally) -> Claim {
        if self.room.has_place(self.len()) {
            let (_, birth) = self.conceive(now_ms);
            tally.start(now_ms);
            return Claim::of_its_own(birth.ready_ms);
        }
        let asked_ms = self.room.reserve(now_ms);
        let (number, birth) = self.conceive(asked_ms);
        self.turns.insert((asked_ms, number, Turn::Begins));
        Claim {
            trouble: Some(MissCause::Quota),
            ..Claim::of_its_own(birth.ready_ms)
        }
    }

    fn happen(&mut self, at_ms: i64, number: u64, turn: Turn, tally: &mut Tally) {
        match turn {
            Turn::Begins => tally.start(at_ms),
            Turn::Fails => {
                tally.start(at_ms);
                self.reports.push_back(StartReport::Failed { at_ms });
            }
            Turn::Ready { took } => {
                self.reports.push_back(StartReport::Succeeded { took });
                if let Some(birth) = self.starting.remove(&number) {
                    self.ready.push_back(birth);
                }
            }
        }
    }
}

impl Fleet for StrainedFleet {
    fn advance(&mut self, now_ms: i64, tally: &mut Tally) {
        loop {
            let turn = self.turns.first().copied().filter(|turn| turn.0 <= now_ms);
            let place = self.room.next_ms().filter(|&at_ms| at_ms <= now_ms);
            match (turn, place) {
                (Some((at_ms, number, turn)), place) if place.is_none_or(|free| at_ms <= free) => {
                    self.turns.pop_first();
                    self.happen(at_ms, number, turn, tally);
                }
                (_, Some(at_ms)) => {
                    self.room.free_next();
                    self.refill(at_ms, tally);
                }
                (_, None) => return,
            }
        }
    }

    fn next_report(&mut self) -> Option<StartReport> {
        self.reports.pop_front()
    }

    fn leased(&self) -> u32 {
        self.room.given() as u32
    }

    fn count(&mut self, _: i64) -> (u32, u32) {
        (self.ready.len() as u32, self.starting.len() as u32)
    }

    fn resize(&mut self, now_ms: i64, target: u32, tally: &mut Tally) {
        self.target = target as usize;
        self.refill(now_ms, tally);
        while self.len() > self.target {
            self.stop_one(now_ms, tally);
        }
    }

    fn claim(&mut self, now_ms: i64, hold_ms: i64, tally: &mut Tally) -> Claim {
        let short = self.is_short();
        let mut claim = match self.take() {
            Some(birth) => taken(&birth, now_ms, tally),
            None => self.own(now_ms, tally),
        };
        if short && claim.outcome != Outcome::Hit {
            claim.trouble = claim.trouble.or(Some(MissCause::Quota));
        }
        let gone_ms = claim.served_ms.saturating_add(hold_ms);
        self.room.give(now_ms, gone_ms);
        self.refill(now_ms, tally);
        claim
    }

    fn close(&mut self, now_ms: i64, tally: &mut Tally) {
        self.target = 0;
        while self.len() > 0 {
            self.stop_one(now_ms, tally);
        }
    }
}

/// An unpromised instance is given to a request: it idled since it was ready, and before that in the
/// attempts that failed while nobody waited for them.
fn taken(birth: &Birth, now_ms: i64, tally: &mut Tally) -> Claim {
    if let Some(&failed_ms) = birth.failures.iter().rfind(|&&at| at <= now_ms) {
        tally.idle(birth.asked_ms, failed_ms);
    }
    tally.idle(birth.ready_ms, now_ms);
    let claim = Claim::of_instance(birth.ready_ms, now_ms);
    let failed = !birth.failures.is_empty() && claim.outcome == Outcome::Join;
    Claim {
        trouble: failed.then_some(MissCause::FailedStart),
        ..claim
    }
}
