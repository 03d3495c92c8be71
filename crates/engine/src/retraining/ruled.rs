//! What of the pools depends on the model, as another process is told it: the rules and the pools that
//! they keep warm.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_planner::{
    BreakerSettings, Objective, PoolSettings, RampLimit, RuleSubject, TriggerRule,
};
use foreshadow_types::{EntityId, PoolName, Shape};
use serde::{Deserialize, Serialize};

use crate::planning::{ShapeRecord, TriggerRecord, read_trigger, trigger_record};

/// The rules in force, and the pools that they keep warm. Whatever else decides how large a pool is, no
/// forecast of the model does.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Ruled {
    pub(crate) rules: Vec<TriggerRule>,
    pub(crate) pools: Vec<RuledPool>,
    /// The categories that rules name, of all that are in one.
    pub(crate) categories: BTreeMap<EntityId, Arc<str>>,
}

/// A pool that rules keep warm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuledPool {
    pub(crate) name: PoolName,
    pub(crate) shape: Shape,
    pub(crate) settings: PoolSettings,
}

impl Ruled {
    /// Those of these rules that keep one of these pools warm, with it.
    pub(crate) fn of<'a>(
        rules: &[TriggerRule],
        pools: impl Iterator<Item = RuledPool>,
        categories: impl Iterator<Item = (&'a EntityId, &'a Arc<str>)>,
    ) -> Self {
        let pools = pools.filter(|pool| rules.iter().any(|rule| rule.pool == pool.name));
        let pools: Vec<RuledPool> = pools.collect();
        let own = |rule: &&TriggerRule| pools.iter().any(|pool| pool.name == rule.pool);
        let rules: Vec<TriggerRule> = rules.iter().filter(own).cloned().collect();
        let named = |category: &str| {
            let of = |rule: &TriggerRule| match &rule.subject {
                RuleSubject::Category(named) => named == category,
                RuleSubject::Entity(_) | RuleSubject::Any => false,
            };
            rules.iter().any(of)
        };
        let categories = categories.filter(|(_, category)| named(category));
        Self {
            categories: categories
                .map(|(entity, category)| (entity.clone(), category.clone()))
                .collect(),
            rules,
            pools,
        }
    }

    /// What an instance of each pool offers.
    pub(crate) fn shapes(&self) -> BTreeMap<PoolName, Shape> {
        let shapes = self.pools.iter();
        shapes.map(|pool| (pool.name.clone(), pool.shape)).collect()
    }

    /// Whether a rule looks at forecasts of this metric of this entity.
    pub(crate) fn concerns(&self, entity: &EntityId, metric: &str) -> bool {
        let of = |rule: &TriggerRule| match &rule.subject {
            RuleSubject::Entity(named) => named == entity,
            RuleSubject::Category(named) => {
                let category = self.categories.get(entity);
                category.is_some_and(|category| **category == **named)
            }
            RuleSubject::Any => true,
        };
        let looks = |rule: &&TriggerRule| rule.metric == metric;
        self.rules.iter().filter(looks).any(of)
    }
}

/// As it is written down for another process of the same build.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RuledRecord {
    rules: Vec<TriggerRecord>,
    pools: Vec<RuledPoolRecord>,
    categories: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RuledPoolRecord {
    name: String,
    shape: ShapeRecord,
    objective: ObjectiveRecord,
    min: u32,
    max: u32,
    startup: Duration,
    tick: Duration,
    /// Up, down, and down in an hour.
    ramp: (u32, u32, u32),
    breaker: (u32, Duration, Duration),
    seed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ObjectiveRecord {
    HitRate(f64),
    IdleInstances(f64),
    IdleSecondsPerHit(f64),
}

impl From<&Ruled> for RuledRecord {
    fn from(ruled: &Ruled) -> Self {
        let categories = ruled.categories.iter();
        Self {
            rules: ruled.rules.iter().map(trigger_record).collect(),
            pools: ruled.pools.iter().map(pool_record).collect(),
            categories: categories
                .map(|(entity, category)| (entity.to_string(), category.to_string()))
                .collect(),
        }
    }
}

impl RuledRecord {
    pub(super) fn read(self) -> Result<Ruled, String> {
        let categories = self.categories.into_iter().map(|(entity, category)| {
            let entity = EntityId::new(&entity).map_err(|error| error.to_string())?;
            Ok::<_, String>((entity, category.into()))
        });
        Ok(Ruled {
            rules: self
                .rules
                .into_iter()
                .map(read_trigger)
                .collect::<Result<_, _>>()?,
            pools: self.pools.iter().map(read_pool).collect::<Result<_, _>>()?,
            categories: categories.collect::<Result<_, _>>()?,
        })
    }
}

fn pool_record(pool: &RuledPool) -> RuledPoolRecord {
    let settings = &pool.settings;
    let (ramp, breaker) = (&settings.ramp, &settings.breaker);
    RuledPoolRecord {
        name: pool.name.to_string(),
        shape: ShapeRecord::from(&pool.shape),
        objective: match settings.objective {
            Objective::HitRate(rate) => ObjectiveRecord::HitRate(rate),
            Objective::IdleBudget { idle_instances } => {
                ObjectiveRecord::IdleInstances(idle_instances)
            }
            Objective::Costs {
                idle_seconds_per_hit,
            } => ObjectiveRecord::IdleSecondsPerHit(idle_seconds_per_hit),
        },
        min: settings.min,
        max: settings.max,
        startup: settings.startup,
        tick: settings.tick,
        ramp: (ramp.up, ramp.down, ramp.down_an_hour),
        breaker: (breaker.failures, breaker.back_off, breaker.longest),
        seed: settings.seed,
    }
}

fn read_pool(record: &RuledPoolRecord) -> Result<RuledPool, String> {
    let (up, down, down_an_hour) = record.ramp;
    let (failures, back_off, longest) = record.breaker;
    Ok(RuledPool {
        name: PoolName::new(&record.name).map_err(|error| error.to_string())?,
        shape: record.shape.read(),
        settings: PoolSettings {
            objective: match record.objective {
                ObjectiveRecord::HitRate(rate) => Objective::HitRate(rate),
                ObjectiveRecord::IdleInstances(idle_instances) => {
                    Objective::IdleBudget { idle_instances }
                }
                ObjectiveRecord::IdleSecondsPerHit(idle_seconds_per_hit) => Objective::Costs {
                    idle_seconds_per_hit,
                },
            },
            min: record.min,
            max: record.max,
            startup: record.startup,
            tick: record.tick,
            ramp: RampLimit {
                up,
                down,
                down_an_hour,
            },
            breaker: BreakerSettings {
                failures,
                back_off,
                longest,
            },
            seed: record.seed,
        },
    })
}

#[cfg(test)]
pub(super) mod tests {
    use foreshadow_planner::Wanted;
    use foreshadow_types::Vcpus;

    use super::*;

    fn rule(name: &str, pool: &str, subject: RuleSubject) -> TriggerRule {
        TriggerRule {
            name: name.to_owned(),
            subject,
            metric: "cpu".to_owned(),
            quantile: 0.5,
            threshold: 50.0,
            release_below: 50.0,
            within: Duration::from_mins(10),
            pool: PoolName::new(pool).unwrap(),
            wanted: Wanted::Instances(3),
            keep: Duration::ZERO,
        }
    }

    fn pool(name: &str) -> RuledPool {
        RuledPool {
            name: PoolName::new(name).unwrap(),
            shape: Shape {
                vcpus: Vcpus::from_thousandths(500),
                ..Shape::default()
            },
            settings: PoolSettings {
                objective: Objective::Costs {
                    idle_seconds_per_hit: 1.5,
                },
                max: 9,
                seed: u64::MAX,
                ..PoolSettings::for_hit_rate(0.9, Duration::from_secs(30), Duration::from_mins(1))
            },
        }
    }

    /// One rule for all entities, and the pool `web` that it keeps warm.
    pub(in crate::retraining) fn any() -> Ruled {
        let rules = [rule("busy", "web", RuleSubject::Any)];
        Ruled::of(&rules, [pool("web")].into_iter(), [].into_iter())
    }

    #[test]
    fn only_pools_with_rules_and_entities_that_they_concern_are_told() {
        let entity = |name| EntityId::new(name).unwrap();
        let rules = [
            rule("all", "web", RuleSubject::Category("c-1".to_owned())),
            rule("one", "web", RuleSubject::Entity(entity("eve"))),
            rule("far", "elsewhere", RuleSubject::Any),
        ];
        let categories: BTreeMap<EntityId, Arc<str>> =
            [(entity("ada"), "c-1".into()), (entity("bob"), "c-2".into())].into();
        let pools = [pool("web"), pool("quiet")];
        let ruled = Ruled::of(&rules, pools.into_iter(), categories.iter());
        assert_eq!(ruled.pools, [pool("web")]);
        assert_eq!(ruled.rules, rules[..2]);
        let concerned = ["ada", "bob", "eve"].map(|name| ruled.concerns(&entity(name), "cpu"));
        assert_eq!(concerned, [true, false, true]);
        assert!(!ruled.concerns(&entity("eve"), "memory"));
        assert_eq!(RuledRecord::from(&ruled).read(), Ok(ruled));
    }
}
