//! One tick: gather, forecast, plan, adopt, publish.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_allocator::{AdoptedPlan, Input, Reservation};
use foreshadow_ledger::{PlanBasis, PlanRecord};
use foreshadow_planner::{
    Booking, Floor, FollowBook, ForecastView, Inventory, KnownDemand, Override, PoolPlan,
    PreAllocation,
};
use foreshadow_types::{EntityId, InstanceCount, PoolName, Timestamp};
use tracing::{Instrument, Span, info_span};

use super::{
    LatestForecasts, Planning,
    latest::{PoolOutlook, SeriesForecast, steps_of},
    pool::PlannedPool,
};
use crate::{
    clock::Stopwatch,
    collector::{CollectorCommand, GatheredSeries, SeriesKey},
    config::{CapacityOverride, OverrideSubject, PoolModel, ShadowConfig},
    demand::{Fate, Happening, Recorded},
    error::EngineError,
    inference::{Question, Wish},
    owner::{OwnerCommand, PoolInventory},
    trace::TARGET,
    views::PoolPlanView,
};

/// The share of a tick that its forecasts may take before they count as late.
const FORECAST_SHARE: f64 = 0.8;

/// Longest wait for forecasts, however long the tick.
const LONGEST_FORECAST: Duration = Duration::from_secs(30);

/// The plans of all pools and what they were made with.
pub(super) type Plans = BTreeMap<PoolName, (PoolPlan, PoolPlanView)>;

impl Planning {
    pub(super) async fn tick(&mut self) -> Result<(), EngineError> {
        let pools = self.pools.len() as i64;
        let span = info_span!(target: TARGET, parent: None, "tick", foreshadow.pools = pools);
        self.whole_tick().instrument(span).await
    }

    async fn whole_tick(&mut self) -> Result<(), EngineError> {
        let now = self.now();
        let gathered = self
            .ask_collector(|reply| CollectorCommand::Gather { now, reply })
            .await?;
        self.take_happenings(&gathered.happenings);
        self.take_up_the_past().await?;
        if let Some(series) = gathered.series {
            self.forecasts.categories = gathered.categories;
            self.forecast(series).await;
            self.tell_usage().await?;
        }
        self.train_when_due(now);
        self.adapt_to_startup_times().await?;
        self.replan(now.floor_to(self.config.value.tick)).await
    }

    fn take_happenings(&mut self, happenings: &[Happening]) {
        let now = self.now();
        for happening in happenings {
            match happening {
                Happening::Request(seen) => {
                    self.forecasts.request(seen);
                    if seen.fate != Fate::Rejected {
                        self.follows.observe(&seen.pool, seen.at);
                    }
                    if let Some(pool) = self.pools.get_mut(&seen.pool) {
                        pool.request(seen);
                    }
                }
                Happening::Recorded(Recorded::Closed { row, ended_at, .. }) => {
                    if let Some(pool) = self.pools.get_mut(&row.pool) {
                        pool.ended(row, *ended_at);
                    }
                }
                Happening::Recorded(
                    Recorded::Opened(..) | Recorded::Refused(_) | Recorded::Segment(_),
                ) => {}
                Happening::Started { pool, took } => {
                    tracing::debug!(%pool, ?took, "an instance is ready");
                    if let Some(pool) = self.pools.get_mut(pool) {
                        pool.started();
                    }
                }
                Happening::StartFailed { pool } => {
                    if let Some(pool) = self.pools.get_mut(pool) {
                        pool.start_failed(now);
                    }
                }
            }
        }
    }

    async fn forecast(&mut self, series: GatheredSeries) {
        let bin = series.panel.interval();
        let horizon = steps_of(self.config.value.horizon, bin).unwrap_or(1);
        let horizon = horizon.min(self.horizon_limit);
        let within = self.config.value.tick.mul_f64(FORECAST_SHARE);
        let within = within.min(LONGEST_FORECAST);
        let numbers = &self.links.numbers.forecasts;
        let question = Question {
            panel: series.panel.clone(),
            horizon,
            wishes: self.wishes(&series.keys),
            within,
        };
        let batch = self.links.inference.forecast(question, numbers).await;
        let drifted = self.forecasts.take(series, batch);
        self.take_note_of(&drifted);
    }

    /// The series of pools that another model than the one in use may forecast.
    fn wishes(&self, keys: &[SeriesKey]) -> Vec<Wish> {
        let wish = |(series, key): (usize, &SeriesKey)| {
            let SeriesKey::Pool(pool) = key else {
                return None;
            };
            let model = self.pools.get(pool)?.config.model;
            (model != PoolModel::InUse).then_some(Wish { series, model })
        };
        keys.iter().enumerate().filter_map(wish).collect()
    }

    /// Where starts take longer or shorter than a planner knows, it is made anew.
    async fn adapt_to_startup_times(&mut self) -> Result<(), EngineError> {
        let (inventory, now) = (self.inventory().await?, self.now());
        let mut changes = BTreeMap::new();
        for pool in &inventory {
            let name = &pool.status.name;
            if let Some(planned) = self.pools.get(name) {
                let measured = Some((pool.status.startup_slow, now));
                let wanted = planned.wanted_settings(&self.config.value, measured);
                if wanted != *planned.settings() {
                    changes.insert(name.clone(), wanted);
                }
            }
        }
        self.work_with(changes).await
    }

    pub(super) async fn inventory(&self) -> Result<Vec<PoolInventory>, EngineError> {
        self.ask_owner(|reply| OwnerCommand::Inventory { reply })
            .await
    }

    /// Plans all pools for a moment and has the plans adopted.
    pub(super) async fn replan(&mut self, at: Timestamp) -> Result<(), EngineError> {
        let now = self.now();
        self.overrides.value.retain(|one| one.holds_at(now));
        let inventory = self.inventory().await?;
        let ready = inventory.iter().map(|pool| &pool.status);
        let ready = ready.map(|status| (&status.name, status.ready));
        let passed = self.forecasts.idle(ready, now);
        for pool in &inventory {
            if let Some(planned) = self.pools.get_mut(&pool.status.name) {
                planned.idle += passed * pool.status.ready;
            }
        }
        let wishes = self.preallocations(now);
        let plans = self.plans(at, &inventory, &wishes).await?;
        if !plans.is_empty() {
            self.adopt(&inventory, &plans, now).await?;
        }
        self.write_down(&inventory, &plans);
        self.links.numbers.planned_now();
        self.publish(plans);
        Ok(())
    }

    async fn adopt(
        &self,
        inventory: &[PoolInventory],
        plans: &Plans,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let generation = inventory
            .first()
            .map_or(0, |pool| pool.status.plan_generation)
            + 1;
        let plan = self.adopted(generation, plans, now);
        let input = Input::AdoptPlan(Box::new(plan));
        let asked = Stopwatch::start();
        let adopted = self
            .ask_owner(|reply| OwnerCommand::One {
                input,
                asked,
                span: Span::none(),
                reply,
            })
            .await?;
        if let Err(error) = adopted {
            tracing::error!(%error, "the plan was refused");
        }
        Ok(())
    }

    fn preallocations(&mut self, now: Timestamp) -> Vec<PreAllocation> {
        let interval = self.bin;
        let views: Vec<ForecastView<'_>> = self
            .forecasts
            .views()
            .map(|(entity, metric, category, forecast)| ForecastView {
                entity,
                category,
                metric,
                interval,
                forecast: &forecast.quantiles,
            })
            .collect();
        let wishes = self.rules.evaluate(now, &views);
        let active = &self.links.numbers.forecasts.triggers_active;
        active.set(wishes.len() as u64);
        wishes
    }

    /// Keeps the plans that are others than before, with what they were made from.
    fn write_down(&mut self, inventory: &[PoolInventory], plans: &Plans) {
        let mut records = Vec::new();
        for pool in inventory {
            let name = &pool.status.name;
            let (Some((plan, view)), Some(planned)) = (plans.get(name), self.pools.get_mut(name))
            else {
                continue;
            };
            let gist = Some((view.target, view.proposed, plan.mode));
            if planned.logged != gist {
                planned.logged = gist;
                records.push(record(pool, plan, view, planned.waits()));
            }
        }
        self.links.scribe.write(records, self.now());
    }

    /// Planners may fit models, which takes a while: they work beside the async tasks.
    async fn plans(
        &mut self,
        at: Timestamp,
        inventory: &[PoolInventory],
        wishes: &[PreAllocation],
    ) -> Result<Plans, EngineError> {
        let mut floors = floors(&self.pools, &self.config.value, &mut self.follows, at);
        let mut asked = Vec::new();
        for pool in inventory {
            let name = &pool.status.name;
            let Some(planned) = self.pools.get_mut(name) else {
                continue;
            };
            planned.execute_as(&self.config.value);
            let floors = floors.remove(name).unwrap_or_default();
            let known = known_demand(pool, wishes, &self.overrides.value, floors);
            asked.push((name.clone(), counts(pool), known));
        }
        let mut pools = std::mem::take(&mut self.pools);
        let planned = tokio::task::spawn_blocking(move || {
            let mut plans = BTreeMap::new();
            for (name, inventory, known) in asked {
                if let Some(pool) = pools.get_mut(&name) {
                    plans.insert(name, pool.plan(at, &inventory, &known));
                }
            }
            (pools, plans)
        });
        let (pools, plans) = planned.await.map_err(|_| EngineError::Stopped)?;
        self.pools = pools;
        let mut plans: Plans = plans
            .into_iter()
            .map(|(name, plan)| {
                let view = plan_view(&name, &plan, &self.overrides.value);
                (name, (plan, view))
            })
            .collect();
        self.keep_up(&mut plans, inventory);
        Ok(plans)
    }

    fn adopted(&self, generation: u64, plans: &Plans, now: Timestamp) -> AdoptedPlan {
        let pools = plans.iter().map(|(name, (_, view))| {
            let reservations = view.reserved.iter().map(|(entity, count)| Reservation {
                entity: entity.clone(),
                count: InstanceCount(*count),
            });
            foreshadow_allocator::PoolPlan {
                pool: name.clone(),
                target: InstanceCount(view.target),
                reservations: reservations.collect(),
                predicted_demand: self.predicted_demand(name, now),
            }
        });
        AdoptedPlan {
            generation,
            pools: pools.collect(),
        }
    }

    /// How many requests are expected in all by the end of each step.
    fn predicted_demand(&self, pool: &PoolName, now: Timestamp) -> Vec<(Timestamp, u32)> {
        let Some(SeriesForecast { quantiles, .. }) = self.forecasts.of_pool(pool) else {
            return Vec::new();
        };
        let mut expected = 0.0_f64;
        let mut demand: Vec<(Timestamp, u32)> = Vec::new();
        for step in 0..quantiles.horizon() {
            let end = self.forecasts.origin() + self.bin * (step as u32 + 1);
            if end <= now {
                continue;
            }
            expected += f64::from(quantiles.quantile(step, 0.5)).max(0.0);
            let count = expected.round() as u32;
            if demand.last().is_none_or(|(_, before)| count > *before) && count > 0 {
                demand.push((end, count));
            }
        }
        demand
    }

    fn publish(&self, plans: Plans) {
        let before = self.links.latest.borrow().clone();
        let unchanged = before.origin == self.forecasts.origin() && before.interval == self.bin;
        let entities = if unchanged {
            before.entities.clone()
        } else {
            Arc::new(self.forecasts.of_entities())
        };
        let pools = plans.into_iter().filter_map(|(name, (plan, view))| {
            let pool = self.pools.get(&name)?;
            Some((name, self.outlook(pool, &plan, view)))
        });
        self.links.latest.send_replace(Arc::new(LatestForecasts {
            origin: self.forecasts.origin(),
            interval: self.bin,
            entities,
            pools: pools.collect(),
            adaptation: self.forecasts.adaptation().into(),
            tick: self.config.value.tick,
            horizon: self.config.value.horizon,
        }));
    }

    fn outlook(&self, pool: &PlannedPool, made: &PoolPlan, plan: PoolPlanView) -> PoolOutlook {
        PoolOutlook {
            shape: pool.config.spec.shape,
            min: pool.settings().min,
            target_hit_rate: pool.hit_rate(),
            plan,
            requests: self.forecasts.of_pool(pool.name()),
            outcomes: pool.outcomes,
            waits: pool.waits(),
            preview: pool.preview(),
            record: pool.record(made),
        }
    }
}

pub(super) fn counts(pool: &PoolInventory) -> Inventory {
    Inventory {
        ready: pool.status.ready,
        starting: pool.status.starting,
        leased: pool.status.leased,
        queued: pool.status.queued,
    }
}

/// A plan for the log.
fn record(
    pool: &PoolInventory,
    plan: &PoolPlan,
    view: &PoolPlanView,
    waits: BTreeMap<String, u64>,
) -> PlanRecord {
    let held = counts(pool);
    PlanRecord {
        pool: view.pool.clone(),
        at: plan.at,
        target: view.target,
        proposed: view.proposed,
        basis: PlanBasis {
            mode: plan.mode.to_string(),
            ready: held.ready,
            starting: held.starting,
            leased: held.leased,
            queued: held.queued,
            reasons: view.reasons.clone(),
            waits,
        },
    }
}

/// What schedules and other pools' requests want of each pool.
pub(super) fn floors(
    pools: &BTreeMap<PoolName, PlannedPool>,
    config: &ShadowConfig,
    follows: &mut FollowBook,
    now: Timestamp,
) -> BTreeMap<PoolName, Vec<Floor>> {
    let lead = |pool: &PoolName| pools.get(pool).map(PlannedPool::lead_time);
    let scheduled = config.schedules.iter().filter_map(|schedule| {
        let floor = schedule.floor_at(now, lead(&schedule.pool)?)?;
        Some((schedule.pool.clone(), floor))
    });
    let mut floors: BTreeMap<PoolName, Vec<Floor>> = BTreeMap::new();
    for (pool, floor) in scheduled.chain(follows.floors(now, lead)) {
        floors.entry(pool).or_default().push(floor);
    }
    floors
}

/// Bookings, rules, floors and the override of one pool. Where several overrides fix a pool, the largest
/// counts.
pub(super) fn known_demand(
    pool: &PoolInventory,
    wishes: &[PreAllocation],
    overrides: &[CapacityOverride],
    floors: Vec<Floor>,
) -> KnownDemand {
    let name = &pool.status.name;
    let mut bookings: BTreeMap<Timestamp, u32> = BTreeMap::new();
    for at in &pool.bookings {
        *bookings.entry(*at).or_default() += 1;
    }
    let fixed = overrides
        .iter()
        .filter(|one| one.pool == *name && one.subject == OverrideSubject::Pool)
        .max_by_key(|one| one.instances);
    KnownDemand {
        bookings: bookings
            .into_iter()
            .map(|(at, count)| Booking { at, count })
            .collect(),
        preallocations: wishes
            .iter()
            .filter(|wish| wish.pool == *name)
            .cloned()
            .collect(),
        floors,
        fixed: fixed.map(|one| Override {
            pool: name.clone(),
            count: one.instances,
            until: one.until,
            by: one.by.clone(),
            reason: one.reason.clone(),
        }),
    }
}

/// The plan with what is kept for entities, which comes on top of the pool's own target.
pub(super) fn plan_view(
    name: &PoolName,
    plan: &PoolPlan,
    overrides: &[CapacityOverride],
) -> PoolPlanView {
    let mut reserved: BTreeMap<EntityId, u32> = BTreeMap::new();
    let mut reasons: Vec<String> = plan.reasons.iter().map(ToString::to_string).collect();
    for one in overrides.iter().filter(|one| one.pool == *name) {
        if let OverrideSubject::Entity(entity) = &one.subject {
            *reserved.entry(entity.clone()).or_default() += one.instances;
            let (count, by, reason) = (one.instances, &one.by, &one.reason);
            reasons.push(format!(
                "override by {by}: {count} kept for `{entity}` ({reason})"
            ));
        }
    }
    let kept: u32 = reserved.values().sum();
    PoolPlanView {
        pool: name.clone(),
        target: plan.target.saturating_add(kept),
        reserved,
        proposed: plan.proposed,
        reasons,
    }
}
