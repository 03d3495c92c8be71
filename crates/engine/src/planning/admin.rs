//! Changes of the shadow configuration and of the overrides: checked, kept, then in force.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_planner::{FollowBook, PoolSettings, RuleBook};
use foreshadow_types::{EntityId, PoolName, Timestamp};

use super::{
    OVERRIDES, Planning, SHADOW_CONFIG, Versioned,
    document::{write_config, write_overrides},
    tick::{floors, known_demand, plan_view},
};
use crate::{
    config::{
        CapacityOverride, ConfigError, Execution, OverrideSubject, PoolConfig, ShadowConfig, shapes,
    },
    error::EngineError,
    owner::OwnerCommand,
    views::{
        Explanation, OverrideChange, OverridesView, PoolPlanView, ShadowConfigOutcome,
        VersionedShadowConfig,
    },
};

/// The most overrides at a time.
const MOST_OVERRIDES: usize = 10_000;

impl Planning {
    pub(super) fn config_view(&self) -> VersionedShadowConfig {
        view(&self.config)
    }

    pub(super) async fn set_config(
        &mut self,
        config: ShadowConfig,
        if_match: Option<&str>,
        dry_run: bool,
    ) -> Result<ShadowConfigOutcome, EngineError> {
        check_tag(if_match, self.config.version)?;
        config.validate(&self.pool_configs())?;
        let next = Versioned {
            version: self.config.version + 1,
            value: config,
        };
        if dry_run {
            let plan = self.plan_under(&next.value).await?;
            let config = view(&next);
            return Ok(ShadowConfigOutcome {
                applied: false,
                config,
                plan,
            });
        }
        let (rules, follows) = self.books(&next.value)?;
        let body = write_config(&next).map_err(EngineError::Ledger)?;
        self.keep(SHADOW_CONFIG, body).await?;
        self.rules = rules;
        self.follows = follows;
        self.config = next;
        self.work_with(self.changed_settings(&self.config.value))
            .await?;
        let bin = self.model_interval.unwrap_or(self.config.value.tick);
        self.rebin(bin, None).await;
        self.replan_as_of_the_latest_tick().await?;
        Ok(ShadowConfigOutcome {
            applied: true,
            config: self.config_view(),
            plan: self.links.latest.borrow().plan(),
        })
    }

    /// The rules of a configuration, and what is expected under it.
    fn books(&self, config: &ShadowConfig) -> Result<(RuleBook, FollowBook), ConfigError> {
        let shapes = shapes(&self.pool_configs());
        let rules = RuleBook::new(config.triggers.clone(), shapes)?;
        let follows = FollowBook::new(config.follows.clone())?.going_on_from(&self.follows);
        Ok((rules, follows))
    }

    /// Lets a pool's plans be carried out from now on.
    pub(super) async fn make_live(
        &mut self,
        pool: PoolName,
    ) -> Result<ShadowConfigOutcome, EngineError> {
        let known = |one: &PoolConfig| *one.name() == pool;
        if !self.pools.contains_key(&pool) && !self.elsewhere.iter().any(known) {
            return Err(EngineError::UnknownPool(pool));
        }
        let mut config = self.config.value.clone();
        let objective = config.objectives.entry(pool).or_default();
        objective.execution = Some(Execution::Live);
        self.set_config(config, None, false).await
    }

    fn changed_settings(&self, config: &ShadowConfig) -> BTreeMap<PoolName, PoolSettings> {
        self.pools
            .iter()
            .filter_map(|(name, pool)| {
                let wanted = pool.wanted_settings(config, None);
                (wanted != *pool.settings()).then(|| (name.clone(), wanted))
            })
            .collect()
    }

    /// The plan that another configuration would give now; nothing changes by asking.
    async fn plan_under(
        &mut self,
        config: &ShadowConfig,
    ) -> Result<Vec<PoolPlanView>, EngineError> {
        let now = self.now();
        let (mut rules, mut follows) = self.books(config)?;
        let wishes = {
            let views = self.forecasts.views();
            let views: Vec<_> = views
                .map(
                    |(entity, metric, category, forecast)| foreshadow_planner::ForecastView {
                        entity,
                        category,
                        metric,
                        interval: self.bin,
                        forecast: &forecast.quantiles,
                    },
                )
                .collect();
            rules.evaluate(now, &views)
        };
        let inventory = self.inventory().await?;
        let overrides = self.overrides.value.clone();
        let config = config.clone();
        let pools = std::mem::take(&mut self.pools);
        let planned = tokio::task::spawn_blocking(move || {
            let mut floors = floors(&pools, &config, &mut follows, now);
            let mut plans = Vec::new();
            for pool in &inventory {
                let Some(planned) = pools.get(&pool.status.name) else {
                    continue;
                };
                let counts = super::tick::counts(pool);
                let floors = floors.remove(planned.name()).unwrap_or_default();
                let known = known_demand(pool, &wishes, &overrides, floors);
                if let Ok(plan) = planned.plan_under(&config, now, &counts, &known) {
                    plans.push(plan_view(planned.name(), &plan, &overrides));
                }
            }
            (pools, plans)
        });
        let (pools, plans) = planned.await.map_err(|_| EngineError::Stopped)?;
        self.pools = pools;
        Ok(plans)
    }

    pub(super) fn overrides_view(&self) -> OverridesView {
        let now = self.now();
        let in_force = self.overrides.value.iter().filter(|one| one.holds_at(now));
        OverridesView {
            etag: etag(self.overrides.version),
            overrides: in_force.cloned().collect(),
        }
    }

    pub(super) async fn set_override(
        &mut self,
        change: OverrideChange,
        if_match: Option<&str>,
    ) -> Result<OverridesView, EngineError> {
        check_tag(if_match, self.overrides.version)?;
        let now = self.now();
        let mut next = self.overrides.clone();
        next.version += 1;
        next.value.retain(|one| one.holds_at(now));
        self.change(&mut next.value, change)?;
        let body = write_overrides(&next).map_err(EngineError::Ledger)?;
        self.keep(OVERRIDES, body).await?;
        self.use_overrides(next);
        self.replan_as_of_the_latest_tick().await?;
        Ok(self.overrides_view())
    }

    fn use_overrides(&mut self, next: Versioned<Vec<CapacityOverride>>) {
        let published = next.value.as_slice().into();
        self.links.overrides.send_replace(published);
        self.overrides = next;
    }

    fn change(
        &self,
        overrides: &mut Vec<CapacityOverride>,
        change: OverrideChange,
    ) -> Result<(), EngineError> {
        match change {
            OverrideChange::Set(one) => {
                self.check_override(&one)?;
                overrides.retain(|other| other.name != one.name);
                if overrides.len() >= MOST_OVERRIDES {
                    return Err(EngineError::Argument {
                        field: "overrides",
                        value: overrides.len().to_string(),
                        mend: "clear some first".to_owned(),
                    });
                }
                overrides.push(one);
            }
            OverrideChange::Extend { name, until } => {
                self.check_until(until)?;
                let one = overrides.iter_mut().find(|one| one.name == name);
                one.ok_or(EngineError::UnknownOverride(name))?.until = until;
            }
            OverrideChange::Clear { name } => {
                let before = overrides.len();
                overrides.retain(|one| one.name != name);
                if overrides.len() == before {
                    return Err(EngineError::UnknownOverride(name));
                }
            }
        }
        Ok(())
    }

    fn check_override(&self, one: &CapacityOverride) -> Result<(), EngineError> {
        let Some(pool) = self.pools.get(&one.pool) else {
            return Err(EngineError::UnknownPool(one.pool.clone()));
        };
        self.check_until(one.until)?;
        if one.name.is_empty() {
            return Err(EngineError::Argument {
                field: "name",
                value: "empty".to_owned(),
                mend: "give the override a name".to_owned(),
            });
        }
        let max = pool.config.spec.max.0;
        if one.instances > max {
            return Err(EngineError::Argument {
                field: "instances",
                value: one.instances.to_string(),
                mend: format!("give at most {max}, the `max` of pool `{}`", one.pool),
            });
        }
        Ok(())
    }

    fn check_until(&self, until: Option<Timestamp>) -> Result<(), EngineError> {
        match until {
            Some(until) if until <= self.now() => Err(EngineError::Argument {
                field: "until",
                value: until.to_string(),
                mend: "give a time ahead, or none".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Drops the overrides for an entity and all forecasts of it.
    pub(super) async fn forget(&mut self, entity: &EntityId) -> Result<u64, EngineError> {
        let for_it =
            |one: &CapacityOverride| one.subject == OverrideSubject::Entity(entity.clone());
        let mut next = self.overrides.clone();
        next.value.retain(|one| !for_it(one));
        let dropped = (self.overrides.value.len() - next.value.len()) as u64;
        if dropped > 0 {
            next.version += 1;
            let body = write_overrides(&next).map_err(EngineError::Ledger)?;
            self.keep(OVERRIDES, body).await?;
            self.use_overrides(next);
        }
        self.links.scribe.strike(entity.as_str()).await?;
        self.forecasts.forget_entity(entity);
        self.replan_as_of_the_latest_tick().await?;
        self.links.latest.send_modify(|latest| {
            let latest = Arc::make_mut(latest);
            Arc::make_mut(&mut latest.entities).remove(entity);
        });
        Ok(dropped)
    }

    /// Why a pool had the size it had.
    pub(super) async fn explain(
        &self,
        pool: PoolName,
        at: Timestamp,
    ) -> Result<Explanation, EngineError> {
        let Some(planned) = self.pools.get(&pool) else {
            return Err(EngineError::UnknownPool(pool));
        };
        let found = self.links.scribe.find(pool.clone(), at).await?;
        let plan = found.ok_or(EngineError::NoPlan { pool, at })?;
        Ok(Explanation::new(at, plan, planned.waits()))
    }

    async fn keep(&self, name: &'static str, body: Vec<u8>) -> Result<(), EngineError> {
        self.ask_owner(|reply| OwnerCommand::PutDocument { name, body, reply })
            .await?
    }

    /// The planners are asked for the same moment again, so that their ticks stay regular.
    async fn replan_as_of_the_latest_tick(&mut self) -> Result<(), EngineError> {
        let at = self.now().floor_to(self.config.value.tick);
        self.replan(at).await
    }
}

fn view(config: &Versioned<ShadowConfig>) -> VersionedShadowConfig {
    VersionedShadowConfig {
        version: config.version,
        etag: etag(config.version),
        config: config.value.clone(),
    }
}

fn etag(version: u64) -> String {
    format!("v{version}")
}

fn check_tag(given: Option<&str>, version: u64) -> Result<(), EngineError> {
    let current = etag(version);
    match given.map(|tag| tag.trim().trim_matches('"')) {
        None | Some("*") => Ok(()),
        Some(tag) if tag == current => Ok(()),
        Some(tag) => Err(EngineError::EtagMismatch {
            given: tag.to_owned(),
            current,
        }),
    }
}
