//! What trigger rules want of a pool, replayed: which forecasts serve the pool better.

use foreshadow_planner::{
    Arrival, Inventory, KnownDemand, MissCounts, Outcome, PlannerGroup, PoolSettings,
    PreAllocation, SettingsError, TargetPolicies,
};
use foreshadow_types::Timestamp;

use super::{Planned, PoolTrace, Setting, simulate_together};

/// What rules wanted from each moment on, in order of time.
pub type Wishes = [(Timestamp, Vec<PreAllocation>)];

/// Replays one pool once for each of `wishes`: planners that learn the same from the same requests and
/// differ in nothing but what rules want. Wishes for other pools are passed over.
///
/// # Errors
/// [`SettingsError`] names the setting at fault.
pub fn replay_wishes(
    pool: &PoolTrace,
    setting: &Setting,
    settings: &PoolSettings,
    wishes: &[&Wishes],
) -> Result<Vec<Planned>, SettingsError> {
    let mut planners = Wishing {
        group: PlannerGroup::new(vec![settings.clone(); wishes.len()])?,
        pool,
        wishes,
    };
    let count = wishes.len();
    Ok(simulate_together(
        pool,
        setting,
        count,
        &mut planners,
        &mut |_, _| {},
    ))
}

/// Planners that are told what rules want.
struct Wishing<'a> {
    group: PlannerGroup,
    pool: &'a PoolTrace,
    wishes: &'a [&'a Wishes],
}

impl Wishing<'_> {
    /// What is wanted of the pool at a moment, as of the latest evaluation.
    fn known(&self, wishes: &Wishes, now: Timestamp) -> KnownDemand {
        let next = wishes.partition_point(|(at, _)| *at <= now);
        let latest = next.checked_sub(1).map(|latest| &wishes[latest].1);
        let wanted = latest.into_iter().flatten();
        let wanted = wanted.filter(|wish| wish.pool == *self.pool.name());
        KnownDemand {
            preallocations: wanted.cloned().collect(),
            ..KnownDemand::default()
        }
    }
}

impl TargetPolicies for Wishing<'_> {
    fn observe(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        self.group.observe(arrival, outcomes);
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        self.group.observe_merged(arrival, outcomes);
    }

    fn targets(&mut self, now: Timestamp, inventories: &[Inventory]) -> Vec<u32> {
        let known = self.wishes.iter().map(|wishes| self.known(wishes, now));
        let known: Vec<KnownDemand> = known.collect();
        self.group.targets_knowing(now, inventories, &known)
    }

    fn misses(&self) -> Vec<MissCounts> {
        self.group.misses()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_types::PoolName;

    use super::*;
    use crate::backtest::{StartupTime, TraceBuilder};

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(minute: u32) -> Timestamp {
        Timestamp::from_millis(0) + MINUTE * minute
    }

    /// Four hours in which nobody asks but for ten requests at once in the middle of the last.
    fn replayed(wishes: &[&Wishes]) -> Vec<(u64, u64, u64)> {
        let name = PoolName::new("web").unwrap();
        let mut builder = TraceBuilder::new();
        let arrival = |at| Arrival {
            at,
            user: 1,
            application: 0,
            hold: None,
        };
        builder.push(&name, &arrival(at(1))).unwrap();
        for _ in 0..10 {
            let at = at(210) + Duration::from_secs(1);
            builder.push(&name, &arrival(at)).unwrap();
        }
        let trace = builder.build().unwrap();
        let startup = StartupTime::fixed(2 * MINUTE);
        let setting = Setting::within(&trace, (at(180), at(240)), MINUTE, startup).unwrap();
        let settings = PoolSettings::for_hit_rate(0.9, 2 * MINUTE, MINUTE);
        let planned = replay_wishes(&trace.pools()[0], &setting, &settings, wishes).unwrap();
        let told = planned.iter().map(|one| {
            let tally = &one.tally;
            (tally.requests(), tally.hits(), tally.idle_ms())
        });
        told.collect()
    }

    fn wish(pool: &str, from: u32, until: u32) -> Vec<(Timestamp, Vec<PreAllocation>)> {
        let wanted = PreAllocation {
            rule: "busy".to_owned(),
            pool: PoolName::new(pool).unwrap(),
            count: 10,
            until: at(until),
            cause: "cpu".to_owned(),
        };
        vec![(at(from), vec![wanted]), (at(until), Vec::new())]
    }

    #[test]
    fn rules_that_foresee_a_rush_hit_it_and_those_that_come_late_only_idle() {
        let (foresees, late, elsewhere) = (
            wish("web", 200, 215),
            wish("web", 220, 240),
            wish("other", 200, 240),
        );
        let told = replayed(&[&foresees, &late, &elsewhere, &[]]);
        assert_eq!((told[0].0, told[0].1), (10, 10));
        assert!(told[0].2 > 0, "ten instances waited for the rush");
        assert_eq!(told[1].1, told[3].1, "as many as without a rule");
        assert!(told[1].1 < 3);
        assert!(told[1].2 > told[0].2, "and ten idled after it: {told:?}");
        assert_eq!(
            told[2], told[3],
            "what is wanted of another pool is nothing here"
        );
    }
}
