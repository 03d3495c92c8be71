//! Demand over the start-up time, followed exactly.
//!
//! A pool held at `s` unpromised instances is a base-stock system: every claim is replaced at once
//! and the replacement is ready one start-up time later. A request at `u` therefore finds a ready
//! instance exactly when fewer than `s` requests came in `(u − startup, u)`, and the pool idles
//! `s − d` instances while `d < s` requests lie in that window. So the time spent, and the requests
//! met, at each level of that moving count give the hit rate and the idle cost of *every* constant
//! pool at once.

use std::collections::VecDeque;

/// The highest level told apart.
pub(crate) const MAX_LEVEL: usize = 1 << 14;

/// Requests met and time spent at each level of the moving count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Levels {
    /// Requests that came while the count was at this level.
    pub(crate) arrivals: Vec<f64>,
    /// Seconds spent at this level.
    pub(crate) seconds: Vec<f64>,
}

impl Levels {
    fn reach(&mut self, level: usize) {
        if self.arrivals.len() <= level {
            self.arrivals.resize(level + 1, 0.0);
            self.seconds.resize(level + 1, 0.0);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.arrivals.clear();
        self.seconds.clear();
    }
}

/// The moving count of requests in the last start-up time.
#[derive(Debug, Clone)]
pub(crate) struct LeadTime {
    startup_ms: i64,
    now_ms: i64,
    /// Times of the requests in the window, ascending.
    window: VecDeque<i64>,
    /// Since the last [`take`](Self::take).
    levels: Levels,
}

impl LeadTime {
    pub(crate) fn new(startup_ms: i64) -> Self {
        Self {
            startup_ms,
            now_ms: i64::MIN,
            window: VecDeque::new(),
            levels: Levels::default(),
        }
    }

    /// Requests in the last start-up time.
    pub(crate) fn level(&self) -> usize {
        self.window.len().min(MAX_LEVEL)
    }

    /// Times of the requests in the last start-up time, ascending.
    pub(crate) fn window(&self) -> &VecDeque<i64> {
        &self.window
    }

    /// Moves time forward; earlier times are ignored.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        if self.now_ms == i64::MIN {
            self.now_ms = now_ms;
        }
        while let Some(&oldest) = self.window.front() {
            let leaves = oldest.saturating_add(self.startup_ms);
            if leaves > now_ms {
                break;
            }
            self.spend_until(leaves);
            self.window.pop_front();
        }
        self.spend_until(now_ms);
    }

    /// A request at `at_ms`, taken to come no earlier than what was seen before.
    pub(crate) fn arrive(&mut self, at_ms: i64) {
        let at_ms = at_ms.max(self.now_ms);
        self.advance(at_ms);
        let level = self.level();
        self.levels.reach(level);
        self.levels.arrivals[level] += 1.0;
        self.window.push_back(at_ms);
    }

    /// What was met since the last call.
    pub(crate) fn take(&mut self, into: &mut Levels) {
        into.clear();
        std::mem::swap(into, &mut self.levels);
    }

    fn spend_until(&mut self, until_ms: i64) {
        let spent_ms = until_ms.saturating_sub(self.now_ms);
        if spent_ms > 0 {
            let level = self.level();
            self.levels.reach(level);
            self.levels.seconds[level] += spent_ms as f64 / 1e3;
            self.now_ms = until_ms;
        }
    }
}

/// Hit rate and idle cost of every constant pool over a fading past.
#[derive(Debug, Clone, Default)]
pub(crate) struct StaticCurve {
    faded: Levels,
}

/// A constant pool, between two whole sizes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ConstantPool {
    /// Its size.
    pub(crate) size: f64,
    /// Requests it would have met at once.
    pub(crate) hits: f64,
    /// Instance-seconds it would have idled.
    pub(crate) idle_s: f64,
}

impl StaticCurve {
    /// Fades what is known by `keep` and adds what was met at each level.
    pub(crate) fn add(&mut self, met: &Levels, keep: f64) {
        if keep < 1.0 {
            let faded = &mut self.faded;
            for value in faded.arrivals.iter_mut().chain(&mut faded.seconds) {
                *value *= keep;
            }
        }
        if let Some(top) = met.arrivals.len().checked_sub(1) {
            self.faded.reach(top);
            for level in 0..=top {
                self.faded.arrivals[level] += met.arrivals[level];
                self.faded.seconds[level] += met.seconds[level];
            }
        }
    }

    /// Requests met and time spent at each level, faded.
    pub(crate) fn levels(&self) -> &Levels {
        &self.faded
    }

    /// Seconds behind the curve.
    pub(crate) fn seconds(&self) -> f64 {
        self.faded.seconds.iter().sum()
    }

    /// Requests behind the curve.
    pub(crate) fn requests(&self) -> f64 {
        self.faded.arrivals.iter().sum()
    }

    /// The least constant pool with this hit rate; a size between two whole ones shares its time.
    pub(crate) fn for_hit_rate(&self, rate: f64) -> ConstantPool {
        let wanted = rate * self.requests();
        self.grow(|pool, step| (wanted - pool.hits) / step.hits.max(f64::MIN_POSITIVE))
    }

    /// The largest constant pool that idles no more than this, on average.
    pub(crate) fn for_idle(&self, idle: f64) -> ConstantPool {
        let wanted_s = idle * self.seconds();
        self.grow(|pool, step| (wanted_s - pool.idle_s) / step.idle_s.max(f64::MIN_POSITIVE))
    }

    /// The largest constant pool whose every instance idles no more than this for each hit.
    pub(crate) fn for_price(&self, idle_s_per_hit: f64) -> ConstantPool {
        self.grow(|_, step| f64::from(u8::from(step.idle_s <= step.hits * idle_s_per_hit)))
    }

    /// Adds instances while the wanted share of the next is a whole one.
    fn grow(&self, wanted: impl Fn(&ConstantPool, &ConstantPool) -> f64) -> ConstantPool {
        let mut pool = ConstantPool::default();
        let mut below_s = 0.0;
        for (arrivals, seconds) in self.faded.arrivals.iter().zip(&self.faded.seconds) {
            below_s += seconds;
            let step = ConstantPool {
                size: 1.0,
                hits: *arrivals,
                idle_s: below_s,
            };
            let share = wanted(&pool, &step).clamp(0.0, 1.0);
            pool.size += share;
            pool.hits += share * step.hits;
            pool.idle_s += share * step.idle_s;
            if share < 1.0 {
                break;
            }
        }
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_pool_is_scored_at_once() {
        // Requests at 0, 1 and 10 s; each is replaced after 5 s.
        let mut lead = LeadTime::new(5_000);
        for at_s in [0, 1, 10] {
            lead.arrive(at_s * 1000);
        }
        lead.advance(20_000);
        let mut met = Levels::default();
        lead.take(&mut met);
        assert_eq!(met.arrivals, [2.0, 1.0, 0.0]);
        assert_eq!(met.seconds, [9.0, 7.0, 4.0]);
        let mut curve = StaticCurve::default();
        curve.add(&met, 1.0);
        let one = curve.for_hit_rate(2.0 / 3.0);
        assert_eq!((one.size, one.idle_s), (1.0, 9.0));
        let two = curve.for_hit_rate(1.0);
        assert_eq!((two.size, two.idle_s), (2.0, 25.0));
        let between = curve.for_hit_rate(2.5 / 3.0);
        assert!((between.size - 1.5).abs() < 1e-9);
        assert_eq!(curve.for_idle(9.0 / 20.0).size, 1.0);
        assert_eq!(curve.for_price(5.0).size, 1.0);
        assert_eq!(curve.for_price(16.0).size, 2.0);
    }

    #[test]
    fn time_that_goes_backwards_is_ignored() {
        let mut lead = LeadTime::new(5_000);
        lead.arrive(10_000);
        lead.arrive(3_000);
        lead.advance(i64::MIN);
        assert_eq!(lead.level(), 2);
        lead.advance(i64::MAX);
        assert_eq!(lead.level(), 0);
    }
}
