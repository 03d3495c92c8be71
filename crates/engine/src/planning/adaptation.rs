//! Actual against predicted by pool, category and model, and drift in it; requests by pool and category,
//! and what became of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_forecast::{QuantileForecast, pinball_loss};
use foreshadow_types::Timestamp;

use super::drift::PageHinkley;
use crate::{
    demand::Fate,
    views::{GroupAccuracy, GroupKind, OutcomeCounts},
};

/// How much of its weight a tick keeps with each that follows: about the last hundred count.
const KEPT: f64 = 0.99;
/// The most groups; further ones are not followed.
const MOST_GROUPS: usize = 4_096;

/// Which forecasts are judged together.
pub(super) type GroupKey = (GroupKind, Arc<str>);

/// Sums over points. Losses are divided by the actual values in the end, so that metrics of other
/// units and sizes can be summed within a tick: each point is in units of its series' scale.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    points: f64,
    pinball: f64,
    absolute_error: f64,
    absolute_value: f64,
    inside: f64,
}

impl Sums {
    fn add(&mut self, other: &Self, weight: f64) {
        self.points = weight * self.points + other.points;
        self.pinball = weight * self.pinball + other.pinball;
        self.absolute_error = weight * self.absolute_error + other.absolute_error;
        self.absolute_value = weight * self.absolute_value + other.absolute_value;
        self.inside = weight * self.inside + other.inside;
    }
}

#[derive(Debug, Default)]
struct Group {
    tick: Sums,
    lately: Sums,
    points: u64,
    drift: PageHinkley,
    drifts: u64,
    drifted_at: Option<Timestamp>,
    outcomes: OutcomeCounts,
    idle_s: f64,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Adaptation(BTreeMap<GroupKey, Group>);

/// One value and the step of a forecast that was of it, in the units of the series' scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared(Sums);

impl Compared {
    /// `None` if there is nothing to compare.
    pub(super) fn new(
        forecast: &QuantileForecast,
        step: usize,
        actual: f32,
        scale: f64,
    ) -> Option<Self> {
        if !actual.is_finite() || step >= forecast.horizon() || scale <= 0.0 {
            return None;
        }
        let value = f64::from(actual);
        let levels = forecast.levels();
        let losses = levels.iter().zip(forecast.step(step));
        let pinball: f64 = losses
            .map(|(level, quantile)| pinball_loss(*level, f64::from(*quantile), value))
            .sum();
        let at = |level| f64::from(forecast.quantile(step, level));
        let tolerance = 1e-6 * value.abs().max(1.0);
        let inside = value >= at(0.1) - tolerance && value <= at(0.9) + tolerance;
        Some(Self(Sums {
            points: 1.0,
            pinball: pinball / levels.len().max(1) as f64 / scale,
            absolute_error: (value - at(0.5)).abs() / scale,
            absolute_value: value.abs() / scale,
            inside: f64::from(u8::from(inside)),
        }))
    }
}

impl Adaptation {
    pub(super) fn add(&mut self, key: GroupKey, compared: Compared) {
        if let Some(group) = self.group(key) {
            group.tick.add(&compared.0, 1.0);
        }
    }

    /// Takes note of a request of a group.
    pub(super) fn request(&mut self, key: GroupKey, fate: Fate) {
        if let Some(group) = self.group(key) {
            group.outcomes.add(fate);
        }
    }

    /// Takes note of idle instance-seconds that were kept for the requests of a group.
    pub(super) fn idle(&mut self, key: GroupKey, seconds: f64) {
        if let Some(group) = self.group(key) {
            group.idle_s += seconds;
        }
    }

    fn group(&mut self, key: GroupKey) -> Option<&mut Group> {
        let full = self.0.len() >= MOST_GROUPS && !self.0.contains_key(&key);
        (!full).then(|| self.0.entry(key).or_default())
    }

    /// Ends a tick; the groups whose errors have drifted.
    pub(super) fn end_tick(&mut self, now: Timestamp) -> Vec<GroupKey> {
        let mut drifted = Vec::new();
        for (key, group) in &mut self.0 {
            let tick = std::mem::take(&mut group.tick);
            if tick.points == 0.0 {
                continue;
            }
            group.points += tick.points as u64;
            group.lately.add(&tick, KEPT);
            if group.drift.add(tick.absolute_error / tick.points) {
                group.drifts += 1;
                group.drifted_at = Some(now);
                drifted.push(key.clone());
            }
        }
        drifted
    }

    /// In the form in which it is read.
    pub(super) fn view(&self) -> Vec<GroupAccuracy> {
        let groups = self.0.iter().map(|((kind, name), group)| {
            let lately = &group.lately;
            let of = |sum: f64, all: f64| (all > 0.0).then(|| sum / all);
            GroupAccuracy {
                kind: *kind,
                name: name.to_string(),
                points: group.points,
                wape: of(lately.absolute_error, lately.absolute_value),
                pinball: of(lately.pinball, lately.absolute_value),
                coverage_80: of(lately.inside, lately.points),
                drifts: group.drifts,
                drifted_at: group.drifted_at,
                outcomes: group.outcomes,
                idle: Duration::from_secs_f64(group.idle_s),
            }
        });
        groups.collect()
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::PLANNING_LEVELS;
    use foreshadow_planner::Outcome;

    use super::*;

    #[test]
    fn a_pool_whose_demand_changes_its_rhythm_drifts() {
        let mut adaptation = Adaptation::default();
        let key: GroupKey = (GroupKind::Pool, "web".into());
        let forecast = QuantileForecast::from_points(&PLANNING_LEVELS, &[10.0]);
        let mut found = Vec::new();
        for tick in 0..300_u64 {
            let rhythm = if tick < 200 { 10.0 } else { 25.0 };
            let actual = rhythm + (tick % 3) as f32;
            let compared = Compared::new(&forecast, 0, actual, 10.0).unwrap();
            adaptation.add(key.clone(), compared);
            let at = Timestamp::from_millis(tick as i64);
            if !adaptation.end_tick(at).is_empty() {
                found.push(tick);
            }
        }
        let first = *found.first().expect("drift is found");
        assert!((200..220).contains(&first), "{found:?}");
        let view = &adaptation.view()[0];
        assert_eq!((view.points, view.drifts), (300, found.len() as u64));
        assert!(view.wape.unwrap() > 0.3 && view.pinball.is_some());
    }

    #[test]
    fn requests_are_counted_by_group_and_those_for_a_time_ahead_apart() {
        let mut adaptation = Adaptation::default();
        let key: GroupKey = (GroupKind::Category, "small steady".into());
        for fate in [
            Fate::Served(Outcome::Hit),
            Fate::Served(Outcome::Hit),
            Fate::Served(Outcome::Hit),
            Fate::Served(Outcome::Miss),
            Fate::Booked,
        ] {
            adaptation.request(key.clone(), fate);
        }
        let view = &adaptation.view()[0];
        assert_eq!(view.outcomes.requests(), 4);
        assert_eq!(view.outcomes.hit_rate(), Some(0.75));
        assert_eq!((view.points, view.wape), (0, None));
    }

    #[test]
    fn what_cannot_be_compared_is_left_out() {
        let forecast = QuantileForecast::from_points(&PLANNING_LEVELS, &[10.0]);
        assert!(Compared::new(&forecast, 0, f32::NAN, 1.0).is_none());
        assert!(Compared::new(&forecast, 1, 1.0, 1.0).is_none());
        assert!(Compared::new(&forecast, 0, 1.0, 0.0).is_none());
    }
}
