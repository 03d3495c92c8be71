//! Who is at work, and how many requests such users usually bring next.
//!
//! Each recent user is put, at each tick, into a cell by how long ago it last asked, how much it
//! asked lately, and whether its work is running or has just ended. For each cell the mean number
//! of requests in the next start-up time, and of their squares, is learnt; a user's own record scales
//! both. Who is at work thus says how much is to be expected and how far it may stray.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use super::batches::Batches;

const AGES: usize = 11;
const BURSTS: usize = 4;
const STATES: usize = 3;
const CELLS: usize = AGES * BURSTS * STATES;
/// The most users followed at once.
const MAX_USERS: usize = 1024;
/// The most running pieces of work whose end is awaited.
const MAX_RUNNING: usize = 1 << 16;
/// Ticks of experience after which a cell starts to forget.
const MEMORY: f64 = 20_000.0;
/// Requests' worth of trust in the cell before a user's own record counts, and of their squares.
const PRIOR: [f64; 2] = [4.0, 16.0];
/// What a user's own record keeps from one tick to the next.
const KEEP: f64 = 0.999;
/// The most ticks in a start-up time that are told apart.
const MAX_AHEAD: usize = 64;

#[derive(Debug, Clone)]
struct User {
    batches: Batches,
    last_end_ms: i64,
    running: u32,
    /// Fading count of its requests.
    burst: f64,
    /// Requests ever.
    asked: f64,
    /// Where it was put at the last ticks, and what it had asked by then.
    placed: VecDeque<(usize, f64)>,
    /// Requests brought and their squares, and what its cells bring, fading.
    seen: [f64; 2],
    expected: [f64; 2],
}

impl User {
    fn new(at_ms: i64) -> Self {
        Self {
            batches: Batches::new(at_ms),
            last_end_ms: i64::MIN,
            running: 0,
            burst: 0.0,
            asked: 0.0,
            placed: VecDeque::new(),
            seen: [0.0; 2],
            expected: [0.0; 2],
        }
    }

    /// Learns from the tick of which the next start-up time is over, `ahead` ticks ago.
    fn learn(&mut self, cells: &mut [Cell], ahead: usize) {
        if self.placed.len() >= ahead {
            self.learn_oldest(cells);
        }
    }

    /// Learns from all ticks at once, of a user that is not followed any more: those who come no more
    /// count as well.
    fn settle(&mut self, cells: &mut [Cell]) {
        while !self.placed.is_empty() {
            self.learn_oldest(cells);
        }
    }

    fn learn_oldest(&mut self, cells: &mut [Cell]) {
        let Some((cell, asked)) = self.placed.pop_front() else {
            return;
        };
        let brought = self.asked - asked;
        let usual = cells[cell].usual();
        for (power, came) in [brought, brought * brought].into_iter().enumerate() {
            self.seen[power] = KEEP * self.seen[power] + came;
            self.expected[power] = KEEP * self.expected[power] + usual[power];
        }
        cells[cell].add(brought);
    }

    /// The mean and the variance of what it brings in the next start-up time, from its cell.
    fn brings(&self, cell: &Cell) -> (f64, f64) {
        let own = |power: usize| {
            (self.seen[power] + PRIOR[power]) / (self.expected[power] + PRIOR[power])
        };
        let [mean, square] = cell.usual();
        let (mean, square) = (mean * own(0), square * own(1));
        (mean, (square - mean * mean).max(mean))
    }
}

/// What users in one cell brought in the next start-up time.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    ticks: f64,
    requests: f64,
    squares: f64,
}

impl Cell {
    fn add(&mut self, brought: f64) {
        self.ticks += 1.0;
        self.requests += brought;
        self.squares += brought * brought;
        if self.ticks > MEMORY {
            self.ticks *= 0.5;
            self.requests *= 0.5;
            self.squares *= 0.5;
        }
    }

    /// The mean of the requests and of their squares.
    fn usual(&self) -> [f64; 2] {
        [self.requests, self.squares].map(|sum| (sum + 0.05) / (self.ticks + 1.0))
    }
}

/// A summary of the users at a tick.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UserSummary {
    /// Requests expected in the next start-up time from those known, and their variance.
    pub(crate) expected: f64,
    pub(crate) variance: f64,
    /// Requests of batches due within the time looked ahead.
    pub(crate) coming: f64,
    /// Requests missing in the batches that run.
    pub(crate) rest: f64,
    /// Users that asked within 1, 8 and 64 ticks.
    pub(crate) active: [f64; 3],
    /// Users whose work has all ended within two ticks.
    pub(crate) just_ended: f64,
    /// Pieces of work that run.
    pub(crate) running: f64,
    /// The largest share of the recent requests that one user brought.
    pub(crate) top_share: f64,
}

/// The users of one pool.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    tick_ms: i64,
    /// When the last tick was.
    last_ms: Option<i64>,
    ahead_ms: i64,
    burst_keep: f64,
    followed: BTreeMap<u64, User>,
    ends: BinaryHeap<Reverse<(i64, u64)>>,
    cells: Vec<Cell>,
    /// Ticks in a start-up time, and the share of them that it is.
    ahead: usize,
    share: f64,
}

impl Users {
    /// Of a pool whose instances take `startup_ms` to start and which is planned each `tick_ms`.
    pub(crate) fn new(startup_ms: i64, tick_ms: i64) -> Self {
        let tick_ms = tick_ms.max(1);
        let in_startup = startup_ms.max(0) as f64 / tick_ms as f64;
        let ahead = (in_startup.ceil() as usize).clamp(1, MAX_AHEAD);
        Self {
            tick_ms,
            last_ms: None,
            ahead_ms: startup_ms.saturating_add(tick_ms),
            burst_keep: (-1.0_f64 / 16.0).exp(),
            followed: BTreeMap::new(),
            ends: BinaryHeap::new(),
            cells: vec![Cell::default(); CELLS],
            ahead,
            share: in_startup / ahead as f64,
        }
    }

    /// A request of `user` at `at_ms`; `end_ms` is when its work will end, used only once it has.
    pub(crate) fn arrive(&mut self, user: u64, at_ms: i64, end_ms: Option<i64>) {
        if self.followed.len() >= MAX_USERS && !self.followed.contains_key(&user) {
            self.forget_the_quietest();
        }
        let state = self
            .followed
            .entry(user)
            .or_insert_with(|| User::new(at_ms));
        state.batches.arrive(at_ms, self.tick_ms);
        state.burst += 1.0;
        state.asked += 1.0;
        match end_ms {
            // The end is told by `release`.
            Some(i64::MAX) => state.running += 1,
            Some(end_ms) if self.ends.len() < MAX_RUNNING => {
                state.running += 1;
                self.ends.push(Reverse((end_ms, user)));
            }
            Some(_) | None => {}
        }
    }

    /// A piece of work of `user`, reported as running, has ended.
    pub(crate) fn release(&mut self, user: u64, at_ms: i64) {
        if let Some(state) = self.followed.get_mut(&user) {
            state.running = state.running.saturating_sub(1);
            state.last_end_ms = state.last_end_ms.max(at_ms);
        }
    }

    /// Learns from what came since the last tick and sums up who is at work now.
    pub(crate) fn tick(&mut self, now_ms: i64) -> UserSummary {
        self.end_work(now_ms);
        self.skip_a_gap(now_ms);
        let mut summary = UserSummary::default();
        let (mut bursts, mut top) = (0.0, 0.0_f64);
        let Self {
            followed,
            cells,
            ahead,
            share,
            tick_ms,
            ahead_ms,
            burst_keep,
            ..
        } = self;
        followed.retain(|_, user| {
            user.learn(cells, *ahead);
            let due = user.batches.due(now_ms, *ahead_ms, *tick_ms);
            summary.coming += due.coming;
            summary.rest += due.rest;
            let silent_ms = (now_ms - user.batches.last_ms()).max(0);
            let age = silent_ms / *tick_ms;
            let Some(cell) = cell_of(user, age, now_ms, *tick_ms) else {
                user.settle(cells);
                return user.running > 0 || silent_ms < user.batches.awaited_ms();
            };
            let (mean, variance) = user.brings(&cells[cell]);
            summary.expected += mean * *share;
            summary.variance += variance * *share;
            user.placed.push_back((cell, user.asked));
            for (count, reach) in summary.active.iter_mut().zip([1, 8, 64]) {
                *count += f64::from(u8::from(age < reach));
            }
            let ended = user.running == 0 && now_ms - user.last_end_ms.max(0) <= 2 * *tick_ms;
            summary.just_ended += f64::from(u8::from(ended));
            summary.running += f64::from(user.running);
            bursts += user.burst;
            top = top.max(user.burst);
            user.burst *= *burst_keep;
            true
        });
        summary.top_share = if bursts > 0.0 { top / bursts } else { 0.0 };
        summary
    }

    /// What came in a gap between ticks says nothing of a start-up time.
    fn skip_a_gap(&mut self, now_ms: i64) {
        let last_ms = self.last_ms.replace(now_ms).unwrap_or(now_ms);
        if (now_ms - last_ms - self.tick_ms).abs() > self.tick_ms / 2 {
            let users = self.followed.values_mut();
            users.for_each(|user| user.placed.clear());
        }
    }

    fn end_work(&mut self, now_ms: i64) {
        while let Some(&Reverse((end_ms, user))) = self.ends.peek() {
            if end_ms > now_ms {
                break;
            }
            self.ends.pop();
            self.release(user, end_ms);
        }
    }

    fn forget_the_quietest(&mut self) {
        let quietest = self
            .followed
            .iter()
            .min_by_key(|(_, user)| user.batches.last_ms())
            .map(|(&key, _)| key);
        if let Some(mut user) = quietest.and_then(|key| self.followed.remove(&key)) {
            user.settle(&mut self.cells);
        }
    }
}

/// The cell of a user that last asked `age` ticks ago; none if that is too long ago to matter.
fn cell_of(user: &User, age: i64, now_ms: i64, tick_ms: i64) -> Option<usize> {
    let age = (age.max(0) as u64 + 1).ilog2() as usize;
    if age >= AGES {
        return None;
    }
    let burst = match user.burst {
        b if b < 1.5 => 0,
        b if b < 4.0 => 1,
        b if b < 16.0 => 2,
        _ => 3,
    };
    let just_ended = now_ms.saturating_sub(user.last_end_ms) <= 4 * tick_ms;
    let state = match (user.running > 0, just_ended) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    };
    Some((age * BURSTS + burst) * STATES + state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_MS: i64 = 60_000;

    #[test]
    fn a_user_that_asks_each_minute_is_expected_to_ask_again() {
        let mut users = Users::new(2 * TICK_MS, TICK_MS);
        let mut users_now = UserSummary::default();
        for minute in 0..200 {
            users.arrive(7, minute * TICK_MS + 1, None);
            users_now = users.tick((minute + 1) * TICK_MS);
        }
        let expected = users_now.expected;
        assert!((1.8..2.3).contains(&expected), "two minutes: {expected}");
    }

    #[test]
    fn a_user_that_asks_in_batches_may_stray_further_from_what_is_expected() {
        let variance = |batch: i64| {
            let mut users = Users::new(2 * TICK_MS, TICK_MS);
            let mut last = UserSummary::default();
            for minute in 0..2000 {
                if minute % batch == 0 {
                    for request in 0..batch {
                        users.arrive(7, minute * TICK_MS + request, None);
                    }
                }
                last = users.tick((minute + 1) * TICK_MS);
            }
            last.variance / last.expected
        };
        let (single, in_batches) = (variance(1), variance(10));
        assert!(in_batches > 2.0 * single, "{in_batches} {single}");
    }

    #[test]
    fn the_number_of_users_followed_is_bounded() {
        let mut users = Users::new(2 * TICK_MS, TICK_MS);
        for user in 1..5000 {
            users.arrive(user, user as i64, None);
        }
        assert!(users.followed.len() <= MAX_USERS);
    }

    #[test]
    fn an_end_of_work_is_not_known_before_it_comes() {
        let mut users = Users::new(2 * TICK_MS, TICK_MS);
        users.arrive(1, 0, Some(10 * TICK_MS));
        assert_eq!(users.tick(TICK_MS).running, 1.0);
        assert_eq!(users.tick(11 * TICK_MS).running, 0.0);
    }
}
