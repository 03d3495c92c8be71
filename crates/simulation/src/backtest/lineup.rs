//! The tuned policies over all pools: how much idle time each needs for a hit rate.

use std::time::Duration;

use super::{
    PolicyKind, PoolTrace, Setting, Trace,
    curve::{Curve, Family, Tuned, reached},
    demand::{coming_demand, trailing_demand},
    families::{
        ClairvoyantFamily, HoltWintersFamily, HybridHistogramFamily, KeepAliveFamily,
        ReactiveFamily, SsaFamily, StaticFamily,
    },
    result::Totals,
};

/// The windows of the reactive policy: the lead time and its noise, part of a day, a day.
const REACTIVE_WINDOWS: [Duration; 3] = [
    Duration::from_mins(30),
    Duration::from_hours(3),
    Duration::from_hours(24),
];

/// Halvings in the search for the hit rate that all pools are sized for.
const GOAL_HALVINGS: u32 = 14;

/// One policy over all pools; each pool has a curve for each variant of the policy.
pub(crate) struct Contender<'a> {
    kind: PolicyKind,
    pools: Vec<Vec<Curve<'a>>>,
}

/// The variant and parameter chosen for one pool.
pub(crate) struct Choice<'c, 'a> {
    pub(crate) curve: &'c Curve<'a>,
    pub(crate) tuned: Tuned,
}

impl<'a> Contender<'a> {
    /// Gathers what `kind` needs to know of each pool.
    pub(crate) fn new(kind: PolicyKind, trace: &'a Trace, setting: &'a Setting) -> Self {
        let curves = |pool| {
            let wrap = |family| Curve::new(pool, setting, family);
            families(kind, pool, setting)
                .into_iter()
                .map(wrap)
                .collect()
        };
        Self {
            kind,
            pools: trace.pools().iter().map(curves).collect(),
        }
    }

    /// Whether the policy can be replayed on this log at all.
    pub(crate) fn is_defined(kind: PolicyKind, trace: &Trace) -> bool {
        kind != PolicyKind::HybridHistogram
            || trace.pools().iter().all(HybridHistogramFamily::is_defined)
    }

    pub(crate) fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// For each pool the variant that reaches `hit_rate` with the least idle time, or else comes
    /// nearest.
    pub(crate) fn choose(&self, hit_rate: f64) -> Vec<Choice<'_, 'a>> {
        self.pools
            .iter()
            .filter_map(|variants| {
                variants
                    .iter()
                    .map(|curve| Choice {
                        curve,
                        tuned: curve.reach(hit_rate),
                    })
                    .reduce(|one, two| {
                        if better(&two.tuned, &one.tuned, hit_rate) {
                            two
                        } else {
                            one
                        }
                    })
            })
            .collect()
    }

    /// The targets of one variant for the first pool.
    #[cfg(test)]
    pub(crate) fn variant_targets(&self, variant: usize, number: u32) -> Vec<u32> {
        match self.pools[0][variant].family().plan(number) {
            super::curve::PoolSchedule::Targets(targets) => targets,
            super::curve::PoolSchedule::Reused { .. } => Vec::new(),
        }
    }

    /// What all pools together come to when each is sized for `hit_rate`.
    pub(crate) fn totals(&self, hit_rate: f64) -> Totals {
        let mut totals = Totals::default();
        for choice in self.choose(hit_rate) {
            totals.add_counts(&choice.tuned.tally);
        }
        totals
    }

    /// The idle seconds needed for at least `hit_rate` over all requests, if it can be reached.
    ///
    /// With several pools it is the least hit rate for which every pool is sized alike that gives so
    /// much over all requests: small pools overshoot, since their sizes are whole.
    pub(crate) fn idle_needed_s(&self, hit_rate: f64) -> Option<f64> {
        if self.pools.len() == 1 {
            return self.idle_reaching_s(hit_rate, hit_rate);
        }
        let (mut low, mut high) = (0.0, 1.0);
        let mut needed = self.idle_reaching_s(high, hit_rate)?;
        for _ in 0..GOAL_HALVINGS {
            let middle = f64::midpoint(low, high);
            if let Some(idle_s) = self.idle_reaching_s(middle, hit_rate) {
                needed = idle_s;
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(needed)
    }

    /// The idle seconds when each pool is sized for `goal`, if that gives `hit_rate` over all.
    fn idle_reaching_s(&self, goal: f64, hit_rate: f64) -> Option<f64> {
        let totals = self.totals(goal);
        let rate = totals.hit_rate()?;
        (rate >= hit_rate - 1e-12).then(|| totals.idle_s())
    }
}

fn better(one: &Tuned, two: &Tuned, hit_rate: f64) -> bool {
    match (reached(&one.tally, hit_rate), reached(&two.tally, hit_rate)) {
        (true, true) => one.tally.idle_ms() < two.tally.idle_ms(),
        (true, false) => true,
        (false, true) => false,
        (false, false) => one.tally.hit_rate() > two.tally.hit_rate(),
    }
}

fn families<'a>(
    kind: PolicyKind,
    pool: &'a PoolTrace,
    setting: &'a Setting,
) -> Vec<Box<dyn Family + 'a>> {
    let demand = || trailing_demand(pool, setting);
    match kind {
        PolicyKind::Static => vec![Box::new(StaticFamily::new(pool, setting))],
        PolicyKind::Reactive => {
            let demand = demand();
            REACTIVE_WINDOWS
                .map(|window| Box::new(ReactiveFamily::new(&demand, setting, window)) as Box<_>)
                .into()
        }
        PolicyKind::KeepAlive => vec![Box::new(KeepAliveFamily::new(demand(), setting))],
        PolicyKind::Clairvoyant => {
            vec![Box::new(ClairvoyantFamily::new(coming_demand(
                pool, setting,
            )))]
        }
        PolicyKind::Ssa => vec![Box::new(SsaFamily::new(pool, setting))],
        PolicyKind::HoltWinters => vec![Box::new(HoltWintersFamily::new(pool, setting))],
        PolicyKind::HybridHistogram => vec![Box::new(HybridHistogramFamily)],
        // The planner is not tuned in hindsight.
        PolicyKind::Foreshadow => Vec::new(),
    }
}
