//! What a backtest reports.

use foreshadow_planner::{MissCause, MissCounts};
use foreshadow_types::Timestamp;

use super::{
    Cost, PolicyKind, PoolCounts, PoolTrace, Prices, QUARTERS, Spread, Tally, UserSpread,
    shares::{Users, waiting_by_pool},
    tally::ratio,
    waits::Waits,
};

/// A finished backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// Requests in the scored window.
    pub requests: u64,
    /// Pools in the log.
    pub pools: u64,
    /// Where scoring starts.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
    /// The median start-up time in seconds.
    pub startup_s: f64,
    /// The tick in seconds.
    pub tick_s: f64,
    /// A row for each policy and target.
    pub rows: Vec<PolicyRow>,
    /// What each tuned policy needs for hit rates in between, for drawing.
    pub curves: Vec<PolicyCurve>,
    /// What idle time and waiting cost.
    pub prices: Prices,
}

impl Backtest {
    /// The causes of waits that a replay can find, in the order in which they are tested: requests of
    /// one pool all ask for its shape.
    pub const CAUSES: [MissCause; 5] = [
        MissCause::FailedStart,
        MissCause::Quota,
        MissCause::NoForecast,
        MissCause::Late,
        MissCause::UnderForecast,
    ];
}

/// One policy at one target.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRow {
    /// Which policy.
    pub policy: PolicyKind,
    /// The hit rate aimed at.
    pub target_hit_rate: f64,
    /// Hits ÷ requests; `None` without requests, or where the policy is not defined.
    pub hit_rate: Option<f64>,
    /// Requests that found a ready instance.
    pub hits: Option<u64>,
    /// Requests that waited for an instance that was already starting.
    pub joins: Option<u64>,
    /// Requests that waited, joins included.
    pub waits: Option<u64>,
    /// The hit rate of each quarter of the window.
    pub hit_rate_quarters: [Option<f64>; QUARTERS],
    /// Joins ÷ requests.
    pub joined_rate: Option<f64>,
    /// Hits on an instance that others held already ÷ requests; `None` where nobody shares.
    pub merged_rate: Option<f64>,
    /// Instance-seconds of idle time.
    pub idle_unit_seconds: Option<f64>,
    /// Idle instance-seconds ÷ requests.
    pub idle_per_request_s: Option<f64>,
    /// Idle ÷ that of the smallest constant pools with at least this hit rate.
    pub idle_vs_static: Option<f64>,
    /// Idle ÷ the least that another tuned policy which uses instances once needs for at least this hit
    /// rate.
    pub idle_vs_best: Option<f64>,
    /// The same with policies that use instances again among the others.
    pub idle_vs_best_any: Option<f64>,
    /// Instances started in the window.
    pub starts: Option<u64>,
    /// Percentiles of the wait over all requests.
    pub wait_s: Option<WaitPercentiles>,
    /// Idle time and waiting in hours, and in money where prices are given.
    pub cost: Option<Cost>,
    /// What users got.
    pub by_user: Option<UserSpread>,
    /// What each pool's requests got, in order of name.
    pub by_pool: Vec<PoolCounts>,
    /// The share of requests that wait, across pools.
    pub waiting_by_pool: Option<Spread>,
    /// Why requests waited.
    pub misses: Option<MissCounts>,
    /// The parameter found, when one pool was sized.
    pub parameter: Option<String>,
}

/// Waits in seconds, by nearest rank over all requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WaitPercentiles {
    /// Half of the requests wait no longer.
    pub p50: f64,
    /// 95 of 100 wait no longer.
    pub p95: f64,
    /// 99 of 100 wait no longer.
    pub p99: f64,
}

/// Points of idle time against hit rate.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCurve {
    /// Which policy.
    pub policy: PolicyKind,
    /// (hit rate, idle instance-seconds ÷ request), by hit rate.
    pub points: Vec<(f64, f64)>,
}

/// Tallies of several pools added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    requests: u64,
    hits: u64,
    joins: u64,
    /// Where some pool is shared.
    merged: Option<u64>,
    starts: u64,
    idle_ms: u64,
    quarters: [(u64, u64); QUARTERS],
    waits: Waits,
    users: Users,
    pools: Vec<PoolCounts>,
    causes: MissCounts,
}

impl Totals {
    /// Adds the counts of a pool, whose requests waited for `causes`.
    pub(crate) fn add(&mut self, pool: &PoolTrace, tally: &Tally, causes: &MissCounts) {
        if let Some((waits, users)) = tally.summed() {
            self.waits.merge(waits);
            self.users.merge(users);
        }
        if pool.is_shared() {
            *self.merged.get_or_insert(0) += tally.merged();
        }
        self.pools.push(PoolCounts::new(pool, tally));
        self.causes.merge(causes);
        self.add_counts(tally);
    }

    /// Adds the counts of a pool alone: enough for a hit rate and idle time.
    pub(crate) fn add_counts(&mut self, tally: &Tally) {
        self.requests += tally.requests();
        self.hits += tally.hits();
        self.joins += tally.joins();
        self.starts += tally.starts();
        self.idle_ms += tally.idle_ms();
        for (sum, part) in self.quarters.iter_mut().zip(tally.by_quarter()) {
            sum.0 += part.0;
            sum.1 += part.1;
        }
    }

    pub(crate) fn hit_rate(&self) -> Option<f64> {
        ratio(self.hits, self.requests)
    }

    pub(crate) fn idle_s(&self) -> f64 {
        self.idle_ms as f64 / 1e3
    }

    pub(crate) fn idle_per_request_s(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.idle_s() / self.requests as f64)
    }

    /// A row without ratios.
    pub(crate) fn into_row(
        self,
        policy: PolicyKind,
        target_hit_rate: f64,
        prices: &Prices,
    ) -> PolicyRow {
        let waited_s = self.pools.iter().map(|pool| pool.wait_s).sum();
        PolicyRow {
            policy,
            target_hit_rate,
            hit_rate: self.hit_rate(),
            hits: Some(self.hits),
            joins: Some(self.joins),
            waits: Some(self.requests - self.hits),
            hit_rate_quarters: self.quarters.map(|(requests, hits)| ratio(hits, requests)),
            joined_rate: ratio(self.joins, self.requests),
            merged_rate: self.merged.and_then(|merged| ratio(merged, self.requests)),
            idle_unit_seconds: Some(self.idle_s()),
            idle_per_request_s: self.idle_per_request_s(),
            idle_vs_static: None,
            idle_vs_best: None,
            idle_vs_best_any: None,
            starts: Some(self.starts),
            wait_s: self.wait_percentiles(),
            cost: Some(prices.cost(self.idle_s(), waited_s)),
            by_user: self.users.spread(),
            waiting_by_pool: waiting_by_pool(&self.pools),
            by_pool: self.pools,
            misses: Some(self.causes),
            parameter: None,
        }
    }

    fn wait_percentiles(&self) -> Option<WaitPercentiles> {
        let hits = self.requests.checked_sub(self.waits.requests())?;
        let at = |level: f64| {
            let rank = (level * self.requests as f64).ceil() as u64;
            let waited = rank.checked_sub(hits).filter(|&above_hits| above_hits > 0);
            waited
                .and_then(|above_hits| self.waits.ranked(above_hits))
                .map_or(0.0, |wait_ms| f64::from(wait_ms) / 1e3)
        };
        (self.requests > 0).then(|| WaitPercentiles {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
        })
    }
}

impl PolicyRow {
    /// The row of a policy that is not defined for this log.
    pub(crate) fn undefined(policy: PolicyKind, target_hit_rate: f64) -> Self {
        Self {
            policy,
            target_hit_rate,
            hit_rate: None,
            hits: None,
            joins: None,
            waits: None,
            hit_rate_quarters: [None; QUARTERS],
            joined_rate: None,
            merged_rate: None,
            idle_unit_seconds: None,
            idle_per_request_s: None,
            idle_vs_static: None,
            idle_vs_best: None,
            idle_vs_best_any: None,
            starts: None,
            wait_s: None,
            cost: None,
            by_user: None,
            by_pool: Vec::new(),
            waiting_by_pool: None,
            misses: None,
            parameter: None,
        }
    }
}
