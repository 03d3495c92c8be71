//! What the engine answers: plain values, independent of any wire format.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_allocator::{Allocation, PoolStatus};
use foreshadow_forecast::QuantileForecast;
use foreshadow_ledger::{PlanAndNext, PlanBasis, PlanRecord};
use foreshadow_planner::{Beside, Outcome, TradeOff};
use foreshadow_shadow::ShadowSnapshot;
use foreshadow_types::{EntityId, PoolName, Shape, Timestamp};

use crate::{
    config::{CapacityOverride, OverrideSubject, ShadowConfig},
    demand::Fate,
    error::EngineError,
    planning::LatestForecasts,
};

/// What became of reported observations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportOutcome {
    /// How many were taken, now or before.
    pub accepted: u64,
    /// How many of them had been taken before.
    pub duplicates: u64,
    /// How many were not: not finite, or too far in the past or the future.
    pub rejected: u64,
}

impl std::ops::AddAssign for ReportOutcome {
    fn add_assign(&mut self, more: Self) {
        self.accepted += more.accepted;
        self.duplicates += more.duplicates;
        self.rejected += more.rejected;
    }
}

/// What was deleted of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Whether there was a shadow.
    pub shadow: bool,
    /// Rows of the history that named them: usage is gone, requests are demand of nobody.
    pub history_rows: u64,
    /// Allocations that named them; live ones stay with their holder.
    pub allocations: u64,
    /// Overrides for them.
    pub overrides: u64,
}

/// Whose demand is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A user's or an application's.
    Entity(EntityId),
    /// Requests for a pool.
    Pool(PoolName),
}

/// A question to `predict`.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictRequest {
    /// Whose demand.
    pub subject: Subject,
    /// Which metric; `None` is the number of requests.
    pub metric: Option<String>,
    /// How far ahead.
    pub horizon: Duration,
    /// The quantile levels, ascending, above 0 and below 1; empty for 0.1 to 0.9, 0.95 and 0.99.
    pub levels: Vec<f64>,
}

/// What a forecast rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// The history of the entity or pool itself.
    Own,
    /// What is typical of its category.
    Category(String),
}

/// A forecast as it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Whose demand.
    pub subject: Subject,
    /// Which metric.
    pub metric: String,
    /// The start of the first step.
    pub origin: Timestamp,
    /// The length of a step.
    pub interval: Duration,
    /// The quantiles of each step.
    pub quantiles: QuantileForecast,
    /// Which model made it.
    pub model: String,
    /// What it rests on.
    pub basis: Basis,
    /// Whether the model that was meant to answer failed and another answered.
    pub fallback: bool,
    /// The share of actual values that fell into the 0.1–0.9 interval lately; `None` before any
    /// horizon has passed.
    pub recent_coverage_80: Option<f64>,
}

/// The state of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolView {
    /// What one instance offers.
    pub shape: Shape,
    /// How many unpromised instances are kept at least.
    pub min: u32,
    /// The share of requests that should find a ready instance, if that is the aim.
    pub target_hit_rate: Option<f64>,
    /// How many instances there are, by state, and how many requests wait.
    pub status: PoolStatus,
    /// How many instances without a holder the latest plan asks for, or in a preview would ask for;
    /// `None` before the first plan.
    pub planned: Option<u32>,
    /// Why the target is what it is.
    pub reasons: Vec<String>,
    /// Requests since the start, by what became of them.
    pub outcomes: OutcomeCounts,
    /// Requests that waited since the start, by cause.
    pub waits: BTreeMap<String, u64>,
    /// How the preview goes, if plans are not carried out.
    pub preview: Option<PreviewView>,
    /// How well the pool's demand was predicted lately.
    pub accuracy: Accuracy,
    /// How it fares.
    pub record: PoolRecord,
}

/// How a pool fares, as its planner knows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolRecord {
    /// Whether starts have failed in a row, and none has succeeded since.
    pub starts_fail: bool,
    /// The share of requests that found a ready instance lately, where a hit rate is the aim.
    pub hit_rate: Option<f64>,
    /// Idle instances lately beside those of a constant pool, once that can be told.
    pub beside: Option<Beside>,
    /// Idle instance-time since the start.
    pub idle: Duration,
}

/// A question for a pool's past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolHistoryRequest {
    /// Which pool.
    pub pool: PoolName,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// About how many steps at the most.
    pub max_steps: u32,
}

/// What was asked of a pool and planned for it.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolHistory {
    /// Which pool.
    pub pool: PoolName,
    /// The start of the first step.
    pub from: Timestamp,
    /// The length of a step.
    pub step: Duration,
    /// What came in each step.
    pub demand: Vec<DemandStep>,
    /// The plan in force at the start, and the last of each step.
    pub plans: Vec<PlanRecord>,
    /// What each price would have given on recent requests, from the fewest idle instances to the most.
    pub trade_off: Vec<TradeOff>,
    /// When the requests begin that are remembered.
    pub known_from: Option<Timestamp>,
}

/// Requests of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DemandStep {
    /// All.
    pub requests: u32,
    /// Those that waited, as far as that is known.
    pub waited: u32,
}

/// How plans that are not carried out would have fared, beside the pool as it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreviewView {
    /// How many instances are kept.
    pub kept: u32,
    /// How many would be planned now.
    pub proposed: u32,
    /// Requests since the preview began.
    pub requests: u64,
    /// Those that would have found a ready instance.
    pub hits: u64,
    /// Idle instance-seconds that there would have been.
    pub idle_s: f64,
    /// Requests that found a ready instance of the pool as it is kept.
    pub kept_hits: u64,
    /// Idle instance-seconds of the pool as it is kept.
    pub kept_idle_s: f64,
}

/// Why a pool had the size it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which pool.
    pub pool: PoolName,
    /// The time asked for.
    pub at: Timestamp,
    /// When the plan of that time came into force.
    pub since: Timestamp,
    /// When another took its place; `None` if none has.
    pub until: Option<Timestamp>,
    /// Its target.
    pub target: u32,
    /// In a preview, the target that it proposed.
    pub proposed: Option<u32>,
    /// How it came about.
    pub basis: PlanBasis,
    /// Requests that waited while it was in force, by cause.
    pub waits: BTreeMap<String, u64>,
}

impl Explanation {
    /// What the log holds of a plan. `waits` are those since the start, by cause, for a plan still in
    /// force.
    pub(crate) fn new(
        at: Timestamp,
        (plan, next): PlanAndNext,
        waits: BTreeMap<String, u64>,
    ) -> Self {
        let until = next.as_ref().map(|next| next.at);
        let after = next.map_or(waits, |next| next.basis.waits);
        Self {
            pool: plan.pool,
            at,
            since: plan.at,
            until,
            target: plan.target,
            proposed: plan.proposed,
            waits: since(&plan.basis.waits, after),
            basis: plan.basis,
        }
    }
}

/// How many came between two counts; counts that have begun anew are taken as they are.
fn since(
    before: &BTreeMap<String, u64>,
    mut after: BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let grown = |(cause, count): (&String, &u64)| after.get(cause).is_some_and(|now| now >= count);
    if before.iter().all(grown) {
        for (cause, count) in &mut after {
            *count -= before.get(cause).copied().unwrap_or(0);
        }
    }
    after.retain(|_, count| *count > 0);
    after
}

/// A resource shadow and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceShadowView {
    /// The profile.
    pub shadow: ShadowSnapshot,
    /// The latest forecast of each metric.
    pub forecasts: Vec<Prediction>,
    /// What the entity holds, waits for or has booked.
    pub allocations: Vec<Allocation>,
    /// Instances kept warm for it, by pool.
    pub reserved: BTreeMap<PoolName, u32>,
    /// Overrides for it that are in force.
    pub overrides: Vec<CapacityOverride>,
    /// How well each metric was predicted lately.
    pub accuracy: BTreeMap<String, Accuracy>,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutcomeCounts {
    /// Bound to a ready instance with no wait.
    pub hits: u64,
    /// Attached to an instance that was starting.
    pub joins: u64,
    /// Neither: an instance had to be started or waited for.
    pub misses: u64,
    /// Refused.
    pub rejected: u64,
    /// For a time ahead.
    pub booked: u64,
}

impl OutcomeCounts {
    /// Takes note of a request.
    pub(crate) fn add(&mut self, fate: Fate) {
        let count = match fate {
            Fate::Served(outcome) | Fate::Merged(outcome) => match outcome {
                Outcome::Hit => &mut self.hits,
                Outcome::Join => &mut self.joins,
                Outcome::Miss => &mut self.misses,
            },
            Fate::Rejected => &mut self.rejected,
            Fate::Booked => &mut self.booked,
        };
        *count += 1;
    }

    /// All requests but those for a time ahead.
    pub fn requests(&self) -> u64 {
        self.hits + self.joins + self.misses + self.rejected
    }

    /// Hits ÷ all requests but those for a time ahead; `None` before the first.
    pub fn hit_rate(&self) -> Option<f64> {
        let all = self.requests();
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}

/// Actual against predicted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Accuracy {
    /// How many forecast points have been compared.
    pub points: u64,
    /// Mean pinball loss over the levels, in the metric's unit.
    pub pinball: Option<f64>,
    /// The share of actual values in the 0.1–0.9 interval.
    pub coverage_80: Option<f64>,
    /// Sum of absolute errors of the median ÷ sum of absolute actual values.
    pub wape: Option<f64>,
}

/// What forecasts are judged together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// Requests for a pool.
    Pool,
    /// All metrics of the entities of a category.
    Category,
    /// All forecasts of a model.
    Model,
}

/// Actual against predicted of a group, lately. Errors are in units of each series' own scale, so
/// that metrics of other units add up.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupAccuracy {
    /// What the group is.
    pub kind: GroupKind,
    /// Which one.
    pub name: String,
    /// Points compared since the start.
    pub points: u64,
    /// Σ|error| ÷ Σ|actual| of the median.
    pub wape: Option<f64>,
    /// Σ pinball loss ÷ Σ|actual|, mean over the levels.
    pub pinball: Option<f64>,
    /// The share of actual values in the 0.1–0.9 interval.
    pub coverage_80: Option<f64>,
    /// How often drift was found.
    pub drifts: u64,
    /// When it was found last.
    pub drifted_at: Option<Timestamp>,
    /// Requests for the pool, for pools that the model foresees, or of the users of the category, since
    /// the start.
    pub outcomes: OutcomeCounts,
    /// Instance-time that was kept idle for them since the start: of a category, its share of each
    /// pool's by its share of the pool's requests lately.
    pub idle: Duration,
}

/// What a plan holds for one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolPlanView {
    /// Which pool.
    pub pool: PoolName,
    /// How many instances without a holder it keeps.
    pub target: u32,
    /// Those of them that are kept for entities.
    pub reserved: BTreeMap<EntityId, u32>,
    /// In a preview, the target that would be planned.
    pub proposed: Option<u32>,
    /// Why, the weightiest first.
    pub reasons: Vec<String>,
}

impl PoolPlanView {
    /// How many instances without a holder it asks for; in a preview, how many it would ask for.
    pub fn planned(&self) -> u32 {
        let reserved: u32 = self.reserved.values().sum();
        let proposed = self.proposed.map(|own| own.saturating_add(reserved));
        proposed.unwrap_or(self.target)
    }
}

/// The shadow configuration and its version.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionedShadowConfig {
    /// Rises with every change.
    pub version: u64,
    /// What a change must carry to be sure that none came between.
    pub etag: String,
    /// The configuration.
    pub config: ShadowConfig,
}

/// What a change of the shadow configuration did, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowConfigOutcome {
    /// Whether it was applied.
    pub applied: bool,
    /// The configuration after it.
    pub config: VersionedShadowConfig,
    /// The plan that the configuration gives now.
    pub plan: Vec<PoolPlanView>,
}

/// A change of the overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverrideChange {
    /// Sets one, or replaces the one of this name.
    Set(CapacityOverride),
    /// Moves the end of one; `None` for no end.
    Extend {
        /// Its name.
        name: String,
        /// Its new end.
        until: Option<Timestamp>,
    },
    /// Ends one.
    Clear {
        /// Its name.
        name: String,
    },
}

/// The overrides in force and their version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverridesView {
    /// What a change must carry to be sure that none came between.
    pub etag: String,
    /// Those in force.
    pub overrides: Vec<CapacityOverride>,
}

/// Whether the engine can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, and why.
    NotReady(String),
}

impl ResourceShadowView {
    /// Puts together what the parts of the engine know of an entity.
    pub(crate) fn assemble(
        entity: EntityId,
        shadow: Option<ShadowSnapshot>,
        latest: &LatestForecasts,
        overrides: Vec<CapacityOverride>,
        allocations: Vec<Allocation>,
    ) -> Result<Self, EngineError> {
        let Some(shadow) = shadow else {
            return Err(EngineError::UnknownEntity(entity));
        };
        let series = latest.entities.get(&entity);
        let subject = || Subject::Entity(entity.clone());
        let forecasts = series.into_iter().flatten().map(|(metric, series)| {
            let steps = series.quantiles.horizon();
            latest.prediction(subject(), metric, series, steps, &[])
        });
        let accuracy = series
            .into_iter()
            .flatten()
            .map(|(metric, series)| (metric.to_string(), series.accuracy));
        let reserved = latest.pools.iter().filter_map(|(pool, outlook)| {
            let count = outlook.plan.reserved.get(&entity)?;
            Some((pool.clone(), *count))
        });
        Ok(Self {
            forecasts: forecasts.collect(),
            accuracy: accuracy.collect(),
            reserved: reserved.collect(),
            overrides: overrides
                .into_iter()
                .filter(|one| one.subject == OverrideSubject::Entity(entity.clone()))
                .collect(),
            allocations,
            shadow,
        })
    }
}
