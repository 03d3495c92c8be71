//! Who is at work, and how many requests such users usually bring next.
//!
//! Each recent user is put, at each tick, into a cell by how long ago it last asked, how much it
//! asked lately, and whether its work is running or has just ended. For each cell the mean number
//! of requests in the next tick is learnt; a user's own record scales it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
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
/// Requests' worth of trust in the cell before a user's own record counts.
const PRIOR: f64 = 4.0;

#[derive(Debug, Clone)]
struct User {
    batches: Batches,
    last_end_ms: i64,
    running: u32,
    /// Fading count of its requests.
    burst: f64,
    /// Requests since the last tick.
    fresh: u32,
    /// Where it was put at the last tick.
    cell: Option<usize>,
    seen: f64,
    expected: f64,
}

/// A summary of the users at a tick.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UserSummary {
    /// Requests expected in the next tick from those known.
    pub(crate) expected: f64,
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
    ahead_ms: i64,
    burst_keep: f64,
    followed: BTreeMap<u64, User>,
    ends: BinaryHeap<Reverse<(i64, u64)>>,
    cell_ticks: Vec<f64>,
    cell_requests: Vec<f64>,
}

impl Users {
    /// With batches due within `ahead_ms` looked for.
    pub(crate) fn new(tick_ms: i64, ahead_ms: i64) -> Self {
        Self {
            tick_ms,
            ahead_ms,
            burst_keep: (-1.0_f64 / 16.0).exp(),
            followed: BTreeMap::new(),
            ends: BinaryHeap::new(),
            cell_ticks: vec![0.0; CELLS],
            cell_requests: vec![0.0; CELLS],
        }
    }

    /// A request of `user` at `at_ms`; `end_ms` is when its work will end, used only once it has.
    pub(crate) fn arrive(&mut self, user: u64, at_ms: i64, end_ms: Option<i64>) {
        if self.followed.len() >= MAX_USERS && !self.followed.contains_key(&user) {
            self.forget_the_quietest();
        }
        let state = self.followed.entry(user).or_insert(User {
            batches: Batches::new(at_ms),
            last_end_ms: i64::MIN,
            running: 0,
            burst: 0.0,
            fresh: 0,
            cell: None,
            seen: 0.0,
            expected: 0.0,
        });
        state.batches.arrive(at_ms, self.tick_ms);
        state.burst += 1.0;
        state.fresh += 1;
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
        let mut summary = UserSummary::default();
        let (mut bursts, mut top) = (0.0, 0.0_f64);
        let Self {
            followed,
            cell_ticks,
            cell_requests,
            tick_ms,
            ahead_ms,
            burst_keep,
            ..
        } = self;
        followed.retain(|_, user| {
            learn(user, cell_ticks, cell_requests);
            let due = user.batches.due(now_ms, *ahead_ms, *tick_ms);
            summary.coming += due.coming;
            summary.rest += due.rest;
            let silent_ms = (now_ms - user.batches.last_ms()).max(0);
            let age = silent_ms / *tick_ms;
            let Some(cell) = cell_of(user, age, now_ms, *tick_ms) else {
                return user.running > 0 || silent_ms < user.batches.awaited_ms();
            };
            let usual = (cell_requests[cell] + 0.05) / (cell_ticks[cell] + 1.0);
            let own = (user.seen + PRIOR) / (user.expected + PRIOR);
            summary.expected += usual * own;
            user.expected += usual;
            user.cell = Some(cell);
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
        if let Some(key) = quietest {
            self.followed.remove(&key);
        }
    }
}

fn learn(user: &mut User, cell_ticks: &mut [f64], cell_requests: &mut [f64]) {
    if let Some(cell) = user.cell.take() {
        cell_ticks[cell] += 1.0;
        cell_requests[cell] += f64::from(user.fresh);
        if cell_ticks[cell] > MEMORY {
            cell_ticks[cell] *= 0.5;
            cell_requests[cell] *= 0.5;
        }
        user.seen = 0.999 * user.seen + f64::from(user.fresh);
        user.expected *= 0.999;
    }
    user.fresh = 0;
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
        let mut users = Users::new(TICK_MS, 3 * TICK_MS);
        let mut expected = 0.0;
        for minute in 0..200 {
            users.arrive(7, minute * TICK_MS + 1, None);
            expected = users.tick((minute + 1) * TICK_MS).expected;
        }
        assert!((0.8..1.3).contains(&expected), "{expected}");
    }

    #[test]
    fn the_number_of_users_followed_is_bounded() {
        let mut users = Users::new(TICK_MS, 3 * TICK_MS);
        for user in 1..5000 {
            users.arrive(user, user as i64, None);
        }
        assert!(users.followed.len() <= MAX_USERS);
    }

    #[test]
    fn an_end_of_work_is_not_known_before_it_comes() {
        let mut users = Users::new(TICK_MS, 3 * TICK_MS);
        users.arrive(1, 0, Some(10 * TICK_MS));
        assert_eq!(users.tick(TICK_MS).running, 1.0);
        assert_eq!(users.tick(11 * TICK_MS).running, 0.0);
    }
}
