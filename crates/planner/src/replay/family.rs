//! A policy at many settings at once, and which of them meets a hit rate.

use super::shadow_pool::ShadowPool;
use crate::experts::Elapsed;

/// One policy's shadow pools, ordered from the smallest pool to the largest.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    members: Vec<Member>,
    requests: f64,
    seconds: f64,
    /// Requests ever, not faded.
    ever: f64,
}

#[derive(Debug, Clone)]
struct Member {
    pool: ShadowPool,
    hits: f64,
    idle_s: f64,
}

/// A setting between two members.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Choice {
    /// The member below and how far towards the next, for example 3.25.
    pub(crate) setting: f64,
    /// Average idle instances.
    pub(crate) idle: f64,
    /// The hit rate it would have had.
    pub(crate) hit_rate: f64,
}

impl Family {
    pub(crate) fn new(members: usize, startup_ms: i64) -> Self {
        let member = Member {
            pool: ShadowPool::new(startup_ms),
            hits: 0.0,
            idle_s: 0.0,
        };
        Self {
            members: vec![member; members],
            requests: 0.0,
            seconds: 0.0,
            ever: 0.0,
        }
    }

    pub(crate) fn claim(&mut self, at_ms: i64) {
        for member in &mut self.members {
            let _ = member.pool.claim(at_ms);
        }
    }

    /// Closes a tick: fades the record, adds what happened, and resizes each member to what
    /// `target(member, held)` says.
    pub(crate) fn tick(&mut self, elapsed: &Elapsed, mut target: impl FnMut(usize, u32) -> u32) {
        let keep = elapsed.keep;
        self.ever += elapsed.requests;
        self.requests = keep * self.requests + elapsed.requests;
        self.seconds = keep * self.seconds + elapsed.seconds;
        for (index, member) in self.members.iter_mut().enumerate() {
            let target = target(index, member.pool.held());
            member.pool.resize(elapsed.now_ms, target);
            let tally = member.pool.take();
            member.hits = keep * member.hits + tally.hits;
            member.idle_s = keep * member.idle_s + tally.idle_s;
        }
    }

    /// Requests it was ever tried on.
    pub(crate) fn ever(&self) -> f64 {
        self.ever
    }

    /// Seconds behind the record.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Requests behind the record.
    pub(crate) fn requests(&self) -> f64 {
        self.requests
    }

    /// The cheapest setting whose record reaches `rate`, or the largest if none does.
    pub(crate) fn for_hit_rate(&self, rate: f64) -> Choice {
        let wanted = rate * self.requests;
        let above = self.members.iter().position(|member| member.hits >= wanted);
        self.between(above, |member| (wanted, member.hits))
    }

    /// The largest setting whose record idles no more than `idle` instances on average.
    pub(crate) fn for_idle(&self, idle: f64) -> Choice {
        let wanted = idle * self.seconds;
        let above = self
            .members
            .iter()
            .position(|member| member.idle_s > wanted);
        self.between(above, |member| (wanted, member.idle_s))
    }

    /// The record of a setting.
    pub(crate) fn at(&self, setting: f64) -> Choice {
        let low = (setting.max(0.0) as usize).min(self.members.len() - 1);
        let high = (low + 1).min(self.members.len() - 1);
        let share = setting.max(0.0) - low as f64;
        let mix = |value: fn(&Member) -> f64| {
            let (a, b) = (value(&self.members[low]), value(&self.members[high]));
            a + share.min(1.0) * (b - a)
        };
        Choice {
            setting,
            idle: mix(|member| member.idle_s) / self.seconds.max(1e-9),
            hit_rate: mix(|member| member.hits) / self.requests.max(1e-9),
        }
    }

    /// The member with the least idle time less what its hits are worth.
    pub(crate) fn for_price(&self, idle_s_per_hit: f64) -> Choice {
        let loss = |member: &Member| member.idle_s - idle_s_per_hit * member.hits;
        let best = (0..self.members.len())
            .min_by(|&a, &b| loss(&self.members[a]).total_cmp(&loss(&self.members[b])));
        self.at(best.unwrap_or(0) as f64)
    }

    /// The record of every member.
    pub(crate) fn record(&self) -> impl Iterator<Item = Choice> + '_ {
        (0..self.members.len()).map(|member| self.at(member as f64))
    }

    fn between(&self, above: Option<usize>, measure: impl Fn(&Member) -> (f64, f64)) -> Choice {
        let setting = match above {
            None => (self.members.len() - 1) as f64,
            Some(0) => 0.0,
            Some(above) => {
                let (wanted, high) = measure(&self.members[above]);
                let (_, low) = measure(&self.members[above - 1]);
                let share = (wanted - low) / (high - low).max(1e-9);
                (above - 1) as f64 + share.clamp(0.0, 1.0)
            }
        };
        self.at(setting)
    }
}
