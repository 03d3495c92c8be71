//! Laws that hold on any log.

use std::time::Duration;

use foreshadow_planner::{
    Arrival, Inventory, MissCounts, Outcome, TargetPolicies, TargetPolicy,
    baselines::{
        HoltWinters, IntelligentPooling, KeepAlive, Reactive, SampledDemand, SeasonalDemand,
        StaticPool, TrailingDemand, TrailingMaximum, TrailingMoments,
    },
};
use foreshadow_types::Timestamp;
use proptest::prelude::*;

use super::{Script, setting, trace};
use crate::backtest::{
    NoProbe, PolicyKind, Scheduled, Setting, StartupTime, Tally, TickRecord, Trace,
    demand::coming_demand, kernel::replay, lineup::Contender, score, simulate, simulate_together,
};

/// A script for each replica.
struct Scripts(Vec<Script>);

impl TargetPolicies for Scripts {
    fn observe(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        for (script, &outcome) in self.0.iter_mut().zip(outcomes) {
            script.observe(arrival, outcome);
        }
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcomes: &[Outcome]) {
        for (script, &outcome) in self.0.iter_mut().zip(outcomes) {
            script.observe_merged(arrival, outcome);
        }
    }

    fn targets(&mut self, now: Timestamp, inventories: &[Inventory]) -> Vec<u32> {
        let scripts = self.0.iter_mut().zip(inventories);
        scripts
            .map(|(script, held)| script.target(now, held))
            .collect()
    }

    fn misses(&self) -> Vec<MissCounts> {
        vec![MissCounts::default(); self.0.len()]
    }
}

fn times() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(0_i64..20_000, 2..200).prop_map(|mut times| {
        times.sort_unstable();
        times
    })
}

/// The targets that a policy sets while it is shown the log.
fn targets(trace: &Trace, setting: &Setting, policy: &mut dyn TargetPolicy) -> Vec<u32> {
    let mut targets = Vec::new();
    simulate(
        &trace.pools()[0],
        setting,
        policy,
        &mut |record: &TickRecord| targets.push(record.target),
    );
    targets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_request_is_a_hit_a_join_or_a_miss(
        times in times(),
        script in prop::collection::vec(0_u32..5, 1..50),
    ) {
        let trace = trace(&times);
        let setting = setting(&trace, times[0], 60, 120);
        let tally = score(&trace.pools()[0], &setting, &mut Script::new(&script));
        prop_assert_eq!(tally.hits() + tally.joins() + tally.misses(), times.len() as u64);
        prop_assert_eq!(tally.requests(), times.len() as u64);
        let quarters = tally.by_quarter();
        prop_assert_eq!(quarters.iter().map(|part| part.0).sum::<u64>(), tally.requests());
    }

    #[test]
    fn replicas_side_by_side_fare_as_each_would_alone(
        times in times(),
        scripts in prop::collection::vec(prop::collection::vec(0_u32..5, 1..50), 1..4),
        sigma in prop::sample::select(vec![0.0, 0.7]),
    ) {
        let trace = trace(&times);
        let startup = StartupTime::log_normal(Duration::from_mins(2), sigma, 1);
        let from = Timestamp::from_millis(times[times.len() / 2] * 1_000);
        let setting = Setting::new(&trace, from, Duration::from_mins(1), startup).unwrap();
        let pool = &trace.pools()[0];
        let mut all = Scripts(scripts.iter().map(|script| Script::new(script)).collect());
        let together = simulate_together(pool, &setting, scripts.len(), &mut all, &mut |_, _| {});
        for (script, planned) in scripts.iter().zip(together) {
            let summed = Tally::summing_up(&setting);
            let alone = replay(pool, &setting, &mut Script::new(script), &mut NoProbe, summed);
            prop_assert_eq!(planned.tally, alone);
        }
    }

    #[test]
    fn a_larger_constant_pool_never_hits_less_and_never_idles_less(
        times in times(),
        size in 0_u32..12,
    ) {
        let trace = trace(&times);
        let setting = setting(&trace, times[times.len() / 2], 60, 120);
        let small = score(&trace.pools()[0], &setting, &mut StaticPool::new(size));
        let large = score(&trace.pools()[0], &setting, &mut StaticPool::new(size + 1));
        prop_assert!(large.hits() >= small.hits());
        prop_assert!(large.idle_ms() >= small.idle_ms());
    }

    #[test]
    fn a_constant_pool_hits_where_its_size_of_requests_ago_is_a_start_up_time_ago(
        times in times(),
        size in 1_usize..12,
    ) {
        let trace = trace(&times);
        let setting = setting(&trace, times[0], 60, 120);
        let tally = score(&trace.pools()[0], &setting, &mut StaticPool::new(size as u32));
        let replaced = |index: usize| if index < size { times[0] } else { times[index - size] };
        let hits = (0..times.len()).filter(|&i| times[i] - replaced(i) >= 120).count();
        prop_assert_eq!(tally.hits(), hits as u64);
    }

    #[test]
    fn the_clairvoyant_hits_every_request_after_the_first_start(times in times()) {
        let trace = trace(&times);
        let first = (times[0] + 120).min(times[times.len() - 1]);
        let setting = setting(&trace, first, 60, 120);
        let coming = coming_demand(&trace.pools()[0], &setting);
        let tally = score(&trace.pools()[0], &setting, &mut Scheduled::new(&coming));
        if times[times.len() - 1] >= times[0] + 120 {
            prop_assert_eq!(tally.hit_rate(), Some(1.0));
        }
    }

    #[test]
    fn tuning_finds_the_least_constant_pool(times in times(), goal in 0.5_f64..1.0) {
        let trace = trace(&times);
        let setting = setting(&trace, times[times.len() / 2], 60, 120);
        let contender = Contender::new(PolicyKind::Static, &trace, &setting);
        let found = contender.choose(goal)[0].tuned.number;
        let reaches = |size| {
            let tally = score(&trace.pools()[0], &setting, &mut StaticPool::new(size));
            tally.hit_rate().is_none_or(|rate| rate >= goal - 1e-12)
        };
        // A request that comes before the first instance can be ready is missed whatever is kept.
        let none_reaches = !reaches(2 * times.len() as u32);
        prop_assert!(reaches(found) || none_reaches);
        prop_assert!(found == 0 || !reaches(found - 1));
    }

    #[test]
    fn a_policy_shown_the_log_sets_the_targets_that_tuning_works_with(times in times()) {
        let trace = trace(&times);
        let setting = setting(&trace, times[times.len() / 2], 60, 120);
        let (lead, tick) = (setting.lead_time(), setting.tick());
        let demand = || TrailingDemand::new(lead);
        let numbered = |kind, variant: usize, number: u32| {
            Contender::new(kind, &trace, &setting).variant_targets(variant, number)
        };
        let z = |number: u32| -4.0 + number as f32 / 64.0;
        let mut reactive = Reactive::new(demand(), TrailingMoments::new(180), z(300));
        prop_assert_eq!(
            targets(&trace, &setting, &mut reactive),
            numbered(PolicyKind::Reactive, 1, 300)
        );
        let mut keep_alive = KeepAlive::new(demand(), TrailingMaximum::new(7));
        prop_assert_eq!(
            targets(&trace, &setting, &mut keep_alive),
            numbered(PolicyKind::KeepAlive, 0, 7)
        );
        let mut winters = HoltWinters::new(SeasonalDemand::new(lead, tick), z(350));
        prop_assert_eq!(
            targets(&trace, &setting, &mut winters),
            numbered(PolicyKind::HoltWinters, 0, 350)
        );
        let mut ssa = IntelligentPooling::new(SampledDemand::new(lead), 70);
        prop_assert_eq!(
            targets(&trace, &setting, &mut ssa),
            numbered(PolicyKind::Ssa, 0, 70)
        );
    }

    #[test]
    fn no_policy_knows_what_comes_after_a_tick(times in times(), kept in 1_usize..100) {
        let whole = trace(&times);
        let kept = kept.min(times.len() - 1);
        let cut = trace(&times[..kept]);
        let until = times[kept - 1];
        for kind in [
            PolicyKind::Reactive,
            PolicyKind::KeepAlive,
            PolicyKind::HoltWinters,
            PolicyKind::Ssa,
        ] {
            let whole_setting = setting(&whole, times[0], 60, 120);
            let cut_setting = setting(&cut, times[0], 60, 120);
            let seen = Contender::new(kind, &cut, &cut_setting).variant_targets(0, 80);
            let all = Contender::new(kind, &whole, &whole_setting).variant_targets(0, 80);
            let ticks = 1 + ((until - times[0]) / 60) as usize;
            prop_assert_eq!(seen.len(), ticks);
            prop_assert_eq!(&all[..ticks], &seen[..], "{}", kind);
        }
    }
}

#[test]
fn a_log_without_requests_in_the_window_has_no_hit_rate_and_no_panic() {
    let trace = trace(&[0, 10]);
    let setting = setting(&trace, 10, 60, 120);
    let tally = simulate(
        &trace.pools()[0],
        &setting,
        &mut StaticPool::new(1),
        &mut NoProbe,
    );
    assert_eq!(tally.requests(), 1);
}
