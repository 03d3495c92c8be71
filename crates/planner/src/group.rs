//! Planners of one pool with several objectives, which learn once.

use std::time::Duration;

use foreshadow_types::Timestamp;

use crate::{
    knowledge::Knowledge,
    known::KnownDemand,
    learn::{DemandModel, ModelError},
    misses::MissCounts,
    planner::within_reach,
    policy::{Arrival, Inventory, Outcome, TargetPolicies},
    settings::{PoolSettings, SettingsError},
    steward::Steward,
};

/// One planner for each of several settings of the same pool.
///
/// Each plans exactly what a [`PoolPlanner`](crate::PoolPlanner) of its own would: what is learnt
/// from requests does not depend on what is aimed at, so that it is learnt once for all.
#[derive(Debug)]
pub struct PlannerGroup {
    knowledge: Knowledge,
    stewards: Vec<Steward>,
}

impl PlannerGroup {
    /// Planners that have seen nothing yet.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault, or says that there are none or that they do not
    /// share start-up time, tick and seed.
    pub fn new(settings: Vec<PoolSettings>) -> Result<Self, SettingsError> {
        let stewards = settings.into_iter().map(Steward::new);
        let stewards = stewards.collect::<Result<Vec<_>, _>>()?;
        let first = stewards.first().ok_or(SettingsError::None)?.settings();
        if !stewards.iter().all(|one| one.settings().learns_as(first)) {
            return Err(SettingsError::Unlike);
        }
        Ok(Self {
            knowledge: Knowledge::new(first.startup, first.tick, first.seed),
            stewards,
        })
    }

    /// Planners that start with a model fitted elsewhere to the same start-up time and tick; it is
    /// taken up once the requests it was fitted to are past.
    ///
    /// # Errors
    /// [`ModelError::OtherPool`] if the model was fitted to another start-up time or tick.
    pub fn with_model(mut self, model: DemandModel) -> Result<Self, ModelError> {
        self.knowledge.adopt(model)?;
        Ok(self)
    }

    /// The target of each replica, given what each holds and what is known of the demand of each.
    pub fn targets_knowing(
        &mut self,
        now: Timestamp,
        inventories: &[Inventory],
        known: &[KnownDemand],
    ) -> Vec<u32> {
        let now = within_reach(now);
        let moment = self.knowledge.tick(now);
        let (knowledge, stewards) = (&self.knowledge, &mut self.stewards);
        stewards
            .iter_mut()
            .zip(inventories.iter().zip(known))
            .map(|(steward, (held, known))| steward.plan(knowledge, moment, now, held, known))
            .map(|plan| plan.target)
            .collect()
    }
}

impl TargetPolicies for PlannerGroup {
    fn observe(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        let arrival = &Arrival {
            at: within_reach(arrival.at),
            ..*arrival
        };
        self.knowledge.arrive(arrival);
        let demand = self.knowledge.recent_demand();
        for (steward, &outcome) in self.stewards.iter_mut().zip(outcomes) {
            steward.count(arrival.at, outcome.into(), demand);
        }
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        let demand = self.knowledge.recent_demand();
        let at = within_reach(arrival.at);
        for (steward, &outcome) in self.stewards.iter_mut().zip(outcomes) {
            steward.count_merged(at, outcome.into(), demand);
        }
    }

    fn targets(&mut self, now: Timestamp, inventories: &[Inventory]) -> Vec<u32> {
        let known = vec![KnownDemand::default(); inventories.len()];
        self.targets_knowing(now, inventories, &known)
    }

    fn start_succeeded(&mut self, replica: usize, _: Duration) {
        if let Some(steward) = self.stewards.get_mut(replica) {
            steward.start_succeeded();
        }
    }

    fn start_failed(&mut self, replica: usize, now: Timestamp) {
        if let Some(steward) = self.stewards.get_mut(replica) {
            steward.start_failed(within_reach(now));
        }
    }

    fn misses(&self) -> Vec<MissCounts> {
        self.stewards.iter().map(|one| *one.misses()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use crate::{MissCause, Objective, PoolPlanner, TargetPolicy, replay::ShadowPool};

    const TICK_MS: i64 = 60_000;

    fn settings(hit_rate: f64) -> PoolSettings {
        PoolSettings::for_hit_rate(hit_rate, Duration::from_mins(2), Duration::from_mins(1))
    }

    /// Two days of requests, busier by day.
    fn requests() -> Vec<i64> {
        let mut rng = Pcg64Mcg::seed_from_u64(11);
        let mut times = Vec::new();
        for minute in 0..2 * 1440 {
            let chance = if (480..1200).contains(&(minute % 1440)) {
                0.6
            } else {
                0.1
            };
            if rng.random::<f64>() < chance {
                times.push(minute * TICK_MS + rng.random_range(0..TICK_MS));
            }
        }
        times
    }

    /// Targets of one pool that follows a planner.
    fn follow(
        mut target: impl FnMut(Option<(&Arrival, Outcome)>, i64, &Inventory) -> u32,
    ) -> Vec<u32> {
        let (requests, mut next, mut pool) = (requests(), 0, ShadowPool::new(2 * TICK_MS));
        (0..2 * 1440)
            .map(|tick| {
                let now_ms = tick * TICK_MS;
                while next < requests.len() && requests[next] < now_ms {
                    let arrival = Arrival {
                        at: Timestamp::from_millis(requests[next]),
                        user: 1,
                        application: 0,
                        hold: None,
                    };
                    let outcome = pool.claim(requests[next]);
                    target(Some((&arrival, outcome)), now_ms, &Inventory::default());
                    next += 1;
                }
                let held = Inventory {
                    ready: pool.held(),
                    ..Inventory::default()
                };
                let wanted = target(None, now_ms, &held);
                pool.resize(now_ms, wanted);
                wanted
            })
            .collect()
    }

    #[test]
    fn planners_that_learn_together_plan_as_each_would_alone() {
        let mut planner = PoolPlanner::new(settings(0.95)).unwrap();
        let alone = follow(|request, now_ms, held| match request {
            Some((arrival, outcome)) => {
                planner.observe(arrival, outcome);
                0
            }
            None => planner.target(Timestamp::from_millis(now_ms), held),
        });
        let mut group = PlannerGroup::new(vec![settings(0.8), settings(0.95)]).unwrap();
        let together = follow(|request, now_ms, held| match request {
            Some((arrival, outcome)) => {
                group.observe(arrival, &[Outcome::Miss, outcome]);
                0
            }
            None => group.targets(Timestamp::from_millis(now_ms), &[*held; 2])[1],
        });
        assert!(alone.iter().max() > Some(&1), "the pool is used");
        assert_eq!(alone, together);
    }

    #[test]
    fn a_wait_is_late_where_the_target_covers_it_and_under_forecast_where_it_does_not() {
        let mut group = PlannerGroup::new(vec![settings(0.95)]).unwrap();
        group.stewards[0].follow(crate::PoolPlan {
            at: Timestamp::from_millis(0),
            target: 2,
            proposed: None,
            learnt: 2,
            mode: crate::Mode::Forecast,
            reasons: Vec::new(),
            beside: None,
        });
        for second in 1..=5 {
            let arrival = Arrival {
                at: Timestamp::from_millis(second * 1000),
                user: 1,
                application: 0,
                hold: None,
            };
            group.observe(&arrival, &[Outcome::Join]);
        }
        let misses = group.misses()[0];
        assert_eq!(misses.of(MissCause::Late), 2);
        assert_eq!(misses.of(MissCause::UnderForecast), 3);
    }

    #[test]
    fn requests_that_share_an_instance_are_no_demand() {
        let budget = PoolSettings {
            objective: Objective::IdleBudget {
                idle_instances: 1.0,
            },
            ..settings(0.9)
        };
        let targets = |merged: usize| {
            let mut planner = PoolPlanner::new(budget.clone()).unwrap();
            follow(|request, now_ms, held| match request {
                Some((arrival, outcome)) => {
                    planner.observe(arrival, outcome);
                    for _ in 0..merged {
                        planner.observe_merged(arrival, Outcome::Join);
                    }
                    0
                }
                None => planner.target(Timestamp::from_millis(now_ms), held),
            })
        };
        assert_eq!(targets(3), targets(0));
    }

    #[test]
    fn a_group_of_none_is_refused() {
        assert_eq!(
            PlannerGroup::new(Vec::new()).err(),
            Some(SettingsError::None)
        );
    }
}
