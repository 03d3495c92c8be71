//! What is known about a pool's demand at a tick, as numbers.

use std::collections::VecDeque;

use super::{
    blend::{Blends, Expected},
    fading::{FadingMax, FadingMean},
    lead_time::LeadTime,
    profile::Profile,
    users::{UserSummary, Users},
};

/// Memories of the fading rates and dispersions, in start-up times.
const RATE_MEMORIES: [f64; 6] = [2.0, 5.0, 15.0, 60.0, 250.0, 1000.0];
/// Memories of the fading maxima, in start-up times.
const MAX_MEMORIES: [f64; 5] = [3.0, 15.0, 60.0, 250.0, 1500.0];
/// Which of the last requests' ages are features.
const AGES: [usize; 5] = [1, 2, 4, 8, 24];
/// Hours back, and five-minute slots on each side, at which past demand is looked up.
const LAGS: [(i64, i64); 6] = [(1, 1), (3, 1), (4, 1), (24, 0), (24, 2), (168, 2)];
const DAY_S: f64 = 86_400.0;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Memories of the mean and deviation of the highest demand in a tick, in ticks.
const MOMENT_MEMORIES: [f64; 3] = [12.0, 60.0, 400.0];

/// How many means with deviations a snapshot has.
pub(crate) const MOMENTS: usize = MOMENT_MEMORIES.len() + BLENDS + 1;
/// How many expected demands a snapshot has.
pub(crate) const REFERENCES: usize = BEFORE_MAXIMA + MAX_MEMORIES.len() + AFTER_MAXIMA + BLENDS;
/// Guesses before and after the fading maxima, which are none.
const BEFORE_MAXIMA: usize = 3 + RATE_MEMORIES.len() + 1 + 1 + LAGS.len();
const AFTER_MAXIMA: usize = 3;
/// What is blended, and how many blends there are.
const GUESSES: usize = BEFORE_MAXIMA + AFTER_MAXIMA;
const BLENDS: usize = 2;
/// How many further values a snapshot has.
pub(crate) const OTHERS: usize = AGES.len() + 3 + 3 + 4 + 3;

/// What is known at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Snapshot {
    /// Guesses at the demand over one start-up time, each by another memory.
    pub(crate) references: [f32; REFERENCES],
    /// Ages, activity of users, time of day.
    pub(crate) others: [f32; OTHERS],
    /// Mean and standard deviation of the demand, each by another memory or guess.
    pub(crate) moments: [(f32, f32); MOMENTS],
}

/// Follows the requests of one pool in fixed memory.
#[derive(Debug, Clone)]
pub(crate) struct Extractor {
    startup_ms: i64,
    last_tick_ms: Option<i64>,
    arrivals: u32,
    highest_level: usize,
    rates: Vec<FadingMean>,
    daily: FadingMean,
    squares: Vec<FadingMean>,
    maxima: Vec<FadingMax>,
    moments: [(FadingMean, FadingMean); MOMENT_MEMORIES.len()],
    blends: Blends<GUESSES, { GUESSES + 1 }>,
    profile: Profile,
    users: Users,
    latest: VecDeque<i64>,
}

impl Extractor {
    pub(crate) fn new(startup_ms: i64, tick_ms: i64) -> Self {
        let unit_s = startup_ms.max(tick_ms) as f64 / 1e3;
        let means = |memories: &[f64]| {
            memories
                .iter()
                .map(|memory| FadingMean::new(memory * unit_s))
                .collect()
        };
        Self {
            startup_ms,
            last_tick_ms: None,
            arrivals: 0,
            highest_level: 0,
            rates: means(&RATE_MEMORIES),
            daily: FadingMean::new(3.0 * DAY_S),
            squares: means(&RATE_MEMORIES[1..4]),
            maxima: MAX_MEMORIES
                .iter()
                .map(|memory| FadingMax::new(memory * unit_s))
                .collect(),
            moments: MOMENT_MEMORIES.map(|ticks| (FadingMean::new(ticks), FadingMean::new(ticks))),
            blends: Blends::new(),
            profile: Profile::new(),
            users: Users::new(startup_ms, tick_ms),
            latest: VecDeque::new(),
        }
    }

    /// A request; `level` is how many came in the start-up time up to it, itself included.
    pub(crate) fn arrive(&mut self, at_ms: i64, user: u64, end_ms: Option<i64>, level: usize) {
        self.arrivals = self.arrivals.saturating_add(1);
        self.highest_level = self.highest_level.max(level);
        self.profile.arrive(at_ms);
        if user != 0 {
            self.users.arrive(user, at_ms, end_ms);
        }
        if self.latest.len() == AGES[AGES.len() - 1] {
            self.latest.pop_front();
        }
        self.latest.push_back(at_ms);
    }

    /// Work of `user` has ended.
    pub(crate) fn release(&mut self, user: u64, at_ms: i64) {
        self.users.release(user, at_ms);
    }

    /// What is known at `now_ms`, a tick later than the last.
    pub(crate) fn tick(&mut self, now_ms: i64, lead: &LeadTime) -> Snapshot {
        let elapsed_ms = self
            .last_tick_ms
            .map_or(0, |last| now_ms.saturating_sub(last));
        self.last_tick_ms = Some(now_ms);
        let elapsed_s = elapsed_ms as f64 / 1e3;
        self.take_in(elapsed_s, lead.level() as f64);
        self.profile.advance(now_ms);
        let users = self.users.tick(now_ms);
        let startup_s = self.startup_ms as f64 / 1e3;
        let ready_at_ms = now_ms.saturating_add(self.startup_ms);

        let mut references = Filler::<REFERENCES>::new();
        let window = lead.window();
        references.push(lead.level() as f64);
        for part in [2, 4] {
            let since_ms = now_ms.saturating_sub(self.startup_ms / part);
            let older = window.partition_point(|&at| at <= since_ms);
            references.push((part as usize * (window.len() - older)) as f64);
        }
        for rate in self.rates.iter().chain([&self.daily]) {
            references.push(rate.mean() * startup_s);
        }
        references.push(self.profile.usual(ready_at_ms) * startup_s);
        for (hours, spread) in LAGS {
            references.push(self.profile.hours_ago(ready_at_ms, hours, spread) * startup_s);
        }
        for maximum in &self.maxima {
            references.push(maximum.value());
        }
        references.push(users.expected);
        references.push(users.coming);
        references.push(users.coming + users.rest);
        let blends = self.blends.tick(
            now_ms,
            lead.level() as f64,
            &guesses(&references.values),
            ready_at_ms,
        );
        for blend in &blends {
            references.push(blend.mean);
        }

        let mut others = Filler::<OTHERS>::new();
        for age in AGES {
            others.push(self.age_of(age, now_ms, startup_s));
        }
        for (square, rate) in self.squares.iter().zip(&self.rates[1..4]) {
            let mean = rate.mean() * startup_s;
            let variance = (square.mean() - mean * mean).max(0.0);
            others.push((variance + 0.1) / (mean + 0.1));
        }
        for count in users.active {
            others.push(count);
        }
        others.push(users.just_ended);
        others.push(users.running);
        others.push(users.top_share);
        others.push(self.latest.len() as f64);
        others.push(ready_at_ms.rem_euclid(HOUR_MS) as f64 / HOUR_MS as f64);
        others.push(now_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64);
        others.push(now_ms.div_euclid(DAY_MS).rem_euclid(7) as f64);
        Snapshot {
            references: references.done(),
            others: others.done(),
            moments: self.moments_with(&blends, &users),
        }
    }

    /// Recent means, then the blends and what users bring, each with its deviation.
    fn moments_with(
        &self,
        blends: &[Expected; BLENDS],
        users: &UserSummary,
    ) -> [(f32, f32); MOMENTS] {
        let recent = self.moments.iter().map(|(mean, square)| {
            let variance = square.mean() - mean.mean() * mean.mean();
            (mean.mean() as f32, variance.max(0.0).sqrt() as f32)
        });
        let blended = blends
            .iter()
            .map(|blend| (blend.mean as f32, blend.deviation as f32));
        let of_users = (users.expected as f32, users.variance.sqrt() as f32);
        let mut moments = [of_users; MOMENTS];
        for (place, moment) in moments.iter_mut().zip(recent.chain(blended)) {
            *place = moment;
        }
        moments
    }

    fn take_in(&mut self, elapsed_s: f64, level: f64) {
        let highest = std::mem::take(&mut self.highest_level).max(level as usize) as f64;
        for maximum in &mut self.maxima {
            maximum.add(highest, elapsed_s);
        }
        for (mean, square) in &mut self.moments {
            mean.add(highest, 1.0);
            square.add(highest * highest, 1.0);
        }
        let arrivals = f64::from(std::mem::take(&mut self.arrivals));
        if elapsed_s <= 0.0 {
            return;
        }
        for rate in self.rates.iter_mut().chain([&mut self.daily]) {
            rate.add(arrivals / elapsed_s, elapsed_s);
        }
        for square in &mut self.squares {
            square.add(level * level, elapsed_s);
        }
    }

    /// How long ago the `nth` last request came, in start-up times, on a logarithmic scale.
    fn age_of(&self, nth: usize, now_ms: i64, startup_s: f64) -> f64 {
        let long_ago = DAY_S * 30.0;
        let age_s = self
            .latest
            .len()
            .checked_sub(nth)
            .map_or(long_ago, |index| {
                now_ms.saturating_sub(self.latest[index]) as f64 / 1e3
            });
        (age_s / startup_s.max(1.0) + 0.01).ln()
    }
}

/// The references that are guesses at the coming demand.
fn guesses(references: &[f32; REFERENCES]) -> [f64; GUESSES] {
    std::array::from_fn(|guess| {
        let maxima_before = if guess < BEFORE_MAXIMA {
            0
        } else {
            MAX_MEMORIES.len()
        };
        f64::from(references[guess + maxima_before])
    })
}

/// Fills an array from the front.
struct Filler<const N: usize> {
    values: [f32; N],
    filled: usize,
}

impl<const N: usize> Filler<N> {
    fn new() -> Self {
        Self {
            values: [0.0; N],
            filled: 0,
        }
    }

    fn push(&mut self, value: f64) {
        self.values[self.filled] = value as f32;
        self.filled += 1;
    }

    fn done(self) -> [f32; N] {
        debug_assert_eq!(self.filled, N, "every place is filled");
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_is_seen_alike_by_every_memory() {
        let (startup_ms, tick_ms) = (120_000, 60_000);
        let mut lead = LeadTime::new(startup_ms);
        let mut extractor = Extractor::new(startup_ms, tick_ms);
        let mut snapshot = None;
        for second in 0..4 * 86_400_i64 {
            if second % 60 == 0 {
                lead.advance(second * 1000);
                snapshot = Some(extractor.tick(second * 1000, &lead));
            }
            if second % 6 == 5 {
                lead.arrive(second * 1000);
                extractor.arrive(second * 1000, 0, None, lead.level());
            }
        }
        let snapshot = snapshot.unwrap();
        for (index, &guess) in snapshot.references[..12].iter().enumerate() {
            assert!((guess - 20.0).abs() < 1.5, "{index}: {guess}");
        }
    }
}
