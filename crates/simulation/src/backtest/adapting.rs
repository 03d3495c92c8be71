//! Production planners that plan for the start-up times they meet, as in `serve`.

use std::time::Duration;

use foreshadow_allocator::{Startups, remember_startup};
use foreshadow_planner::{
    Arrival, DemandModel, Inventory, KnownDemand, MissCounts, Outcome, Past, PoolPlanner,
    PoolSettings, Remembered, SettingsError, TargetPolicies,
};
use foreshadow_types::Timestamp;

/// One planner for each replica of a pool. Each measures the starts of its own replica, plans for the
/// time that nine in ten of the latest stay within, and is made anew from the requests it remembers
/// when that has drifted from the time it knows.
#[derive(Debug)]
pub struct AdaptingPlanners(Vec<Adapting>);

impl AdaptingPlanners {
    /// Planners that have seen nothing yet; the start-up time of the settings is believed until starts
    /// have been measured, and a model serves while it was fitted to the time in force.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting at fault.
    pub fn new(
        settings: Vec<PoolSettings>,
        model: Option<&DemandModel>,
    ) -> Result<Self, SettingsError> {
        let adapting = settings
            .into_iter()
            .map(|settings| Adapting::new(settings, model.cloned()));
        adapting.collect::<Result<_, _>>().map(Self)
    }
}

impl TargetPolicies for AdaptingPlanners {
    fn observe(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        for (one, &outcome) in self.0.iter_mut().zip(outcomes) {
            one.see(arrival, Past::Served(outcome.into()));
        }
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        for (one, &outcome) in self.0.iter_mut().zip(outcomes) {
            one.see(arrival, Past::Merged(outcome.into()));
        }
    }

    fn targets(&mut self, now: Timestamp, inventories: &[Inventory]) -> Vec<u32> {
        let planners = self.0.iter_mut().zip(inventories);
        planners.map(|(one, held)| one.target(now, held)).collect()
    }

    fn start_succeeded(&mut self, replica: usize, took: Duration) {
        if let Some(one) = self.0.get_mut(replica) {
            one.started(took);
        }
    }

    fn start_failed(&mut self, replica: usize, now: Timestamp) {
        if let Some(one) = self.0.get_mut(replica) {
            one.planner.start_failed(now);
        }
    }

    fn misses(&self) -> Vec<MissCounts> {
        self.0.iter().map(|one| one.waits).collect()
    }
}

#[derive(Debug)]
struct Adapting {
    planner: PoolPlanner,
    model: Option<DemandModel>,
    remembered: Remembered,
    /// When it was last made anew.
    made: Option<Timestamp>,
    startups_ms: Vec<u32>,
    /// Requests that waited, whatever planners came and went.
    waits: MissCounts,
}

impl Adapting {
    fn new(settings: PoolSettings, model: Option<DemandModel>) -> Result<Self, SettingsError> {
        Ok(Self {
            planner: planner_with(settings, model.as_ref())?,
            model,
            remembered: Remembered::default(),
            made: None,
            startups_ms: Vec::new(),
            waits: MissCounts::default(),
        })
    }

    fn see(&mut self, arrival: &Arrival, past: Past) {
        let before = *self.planner.misses();
        match past {
            Past::Served(fared) => self.planner.observe(arrival, fared),
            Past::Merged(fared) => self.planner.observe_merged(arrival, fared),
            Past::Unknown => self.planner.observe_past(arrival),
        }
        self.waits.merge(&self.planner.misses().since(&before));
        self.remembered.push(*arrival, past);
    }

    fn started(&mut self, took: Duration) {
        let asked = Timestamp::from_millis(0);
        remember_startup(&mut self.startups_ms, asked, asked + took);
        self.planner.start_succeeded();
    }

    fn target(&mut self, now: Timestamp, held: &Inventory) -> u32 {
        self.adapt(now);
        self.planner.plan(now, held, &KnownDemand::default()).target
    }

    /// Makes the planner anew where starts take longer or shorter than it knows.
    fn adapt(&mut self, now: Timestamp) {
        let known = self.planner.settings().startup;
        let measured = Startups::of(&self.startups_ms).slow(known);
        let past = &self.remembered;
        if !past.has_drifted(known, measured, self.made, now) {
            return;
        }
        let settings = PoolSettings {
            startup: measured,
            ..self.planner.settings().clone()
        };
        // Settings that differ from sound ones by a start-up time are sound.
        if let Ok(mut planner) = planner_with(settings, self.model.as_ref()) {
            self.remembered.live_through(&mut planner, now);
            self.planner.give_way_to(planner);
            self.made = Some(now);
        }
    }
}

/// A planner that has seen nothing but its model, if that was fitted to these settings.
fn planner_with(
    settings: PoolSettings,
    model: Option<&DemandModel>,
) -> Result<PoolPlanner, SettingsError> {
    let planner = PoolPlanner::new(settings.clone())?;
    match model {
        Some(model) => planner
            .with_model(model.clone())
            .or_else(|_| PoolPlanner::new(settings)),
        None => Ok(planner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> PoolSettings {
        PoolSettings::for_hit_rate(0.9, Duration::from_mins(1), Duration::from_mins(1))
    }

    fn arrival(at_ms: i64) -> Arrival {
        Arrival {
            at: Timestamp::from_millis(at_ms),
            user: 1,
            application: 0,
            hold: None,
        }
    }

    /// A tick each minute for a day, with a request each minute, where all starts take `took`.
    fn live(planners: &mut AdaptingPlanners, took: Duration) -> Vec<u32> {
        let held = [Inventory::default()];
        (0..1_440)
            .map(|minute| {
                let now_ms = 60_000 * minute;
                let target = planners.targets(Timestamp::from_millis(now_ms), &held)[0];
                planners.observe(&arrival(now_ms + 1_000), &[Outcome::Join]);
                planners.start_succeeded(0, took);
                target
            })
            .collect()
    }

    #[test]
    fn planners_whose_starts_take_the_time_they_know_plan_as_a_group_of_them_would() {
        let mut adapting = AdaptingPlanners::new(vec![settings()], None).unwrap();
        let targets = live(&mut adapting, Duration::from_mins(1));
        let mut group = foreshadow_planner::PlannerGroup::new(vec![settings()]).unwrap();
        let held = [Inventory::default()];
        for (minute, &target) in (0_i64..).zip(&targets) {
            let now = Timestamp::from_millis(60_000 * minute);
            assert_eq!(group.targets(now, &held), [target], "minute {minute}");
            group.observe(&arrival(60_000 * minute + 1_000), &[Outcome::Join]);
        }
        assert_eq!(adapting.misses(), group.misses());
        assert!(targets.last() > Some(&0));
    }

    #[test]
    fn slower_starts_are_planned_for_and_no_wait_is_counted_twice() {
        let mut adapting = AdaptingPlanners::new(vec![settings()], None).unwrap();
        let targets = live(&mut adapting, Duration::from_mins(5));
        let planner = &adapting.0[0].planner;
        assert_eq!(planner.settings().startup, Duration::from_mins(5));
        // Five requests come in each start-up time.
        assert!(targets.last() >= Some(&5), "{:?}", targets.last());
        assert_eq!(adapting.misses()[0].total(), 1_440);
    }
}
