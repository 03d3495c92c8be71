//! What holds for every planner and every stream of requests.

use std::time::Duration;

use foreshadow_types::{PoolName, Timestamp};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::{
    Arrival, Booking, BreakerSettings, Floor, FloorCause, Inventory, KnownDemand, Mode, Objective,
    Outcome, Override, PoolPlanner, PoolSettings, PreAllocation, RampLimit, Reason,
    replay::ShadowPool,
};

const TICK_MS: i64 = 60_000;
const STARTUP_MS: i64 = 120_000;

fn settings(hit_rate: f64) -> PoolSettings {
    PoolSettings::for_hit_rate(
        hit_rate,
        Duration::from_millis(STARTUP_MS as u64),
        Duration::from_millis(TICK_MS as u64),
    )
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn arrival(at_ms: i64, user: u64) -> Arrival {
    Arrival {
        at: at(at_ms),
        user,
        application: 0,
        hold: Some(Duration::from_mins(3)),
    }
}

/// Requests of a working day: a few users that come in bursts while it lasts.
fn working_days(days: i64, seed: u64) -> Vec<(i64, u64)> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut requests = Vec::new();
    for minute in 0..days * 1440 {
        let busy = (540..1080).contains(&(minute % 1440));
        let chance = if busy { 0.2 } else { 0.01 };
        for user in 1..6 {
            if rng.random::<f64>() < chance {
                let burst = rng.random_range(1..4);
                requests.extend((0..burst).map(|n| (minute * TICK_MS + n * 5_000, user)));
            }
        }
    }
    requests.sort_unstable();
    requests
}

struct Run {
    targets: Vec<u32>,
    hits: usize,
    idle_s: f64,
}

/// Runs a planner with a pool that does what it says; hits and idle time are of the second half.
fn run(planner: &mut PoolPlanner, requests: &[(i64, u64)]) -> Run {
    let mut pool = ShadowPool::new(STARTUP_MS);
    let mut run = Run {
        targets: Vec::new(),
        hits: 0,
        idle_s: 0.0,
    };
    let end_ms = requests.last().map_or(0, |last| last.0);
    let mut next = 0;
    for tick in 0..=end_ms / TICK_MS {
        let now_ms = tick * TICK_MS;
        while next < requests.len() && requests[next].0 < now_ms {
            let (at_ms, user) = requests[next];
            let outcome = pool.claim(at_ms);
            planner.observe(&arrival(at_ms, user), outcome);
            next += 1;
            run.hits += usize::from(outcome == Outcome::Hit && 2 * next > requests.len());
        }
        let inventory = Inventory {
            ready: pool.held(),
            ..Inventory::default()
        };
        let target = planner
            .plan(at(now_ms), &inventory, &KnownDemand::default())
            .target;
        pool.resize(now_ms, target);
        let tally = pool.take();
        if 2 * next > requests.len() {
            run.idle_s += tally.idle_s;
        }
        run.targets.push(target);
    }
    run
}

fn hit_share(run: &Run, requests: &[(i64, u64)]) -> f64 {
    run.hits as f64 / (requests.len() / 2) as f64
}

#[test]
fn the_hit_rate_asked_for_is_the_hit_rate_reached_at_less_than_a_constant_pool_costs() {
    let requests = working_days(7, 7);
    for wanted in [0.9, 0.96] {
        let mut planner = PoolPlanner::new(settings(wanted)).unwrap();
        let run = run(&mut planner, &requests);
        let reached = hit_share(&run, &requests);
        assert!((reached - wanted).abs() < 0.02, "{wanted}: {reached}");
        let plan = planner.latest().unwrap();
        assert_eq!(plan.mode, Mode::Forecast, "{plan}");
        let gate = plan.reasons.iter().find_map(|reason| match reason {
            Reason::Gate {
                idle, next_best, ..
            } => Some((*idle, *next_best)),
            _ => None,
        });
        let (idle, next_best) = gate.unwrap();
        assert!(next_best.is_some_and(|(_, other)| idle < other), "{plan}");
        assert!(plan.confidence() > Some(0.1), "{plan}");
        let beside = plan.beside.unwrap();
        assert_eq!(beside.idle, idle, "{plan}");
        assert!(beside.idle < beside.constant_idle, "{beside:?}");
    }
}

#[test]
fn a_higher_hit_rate_keeps_a_larger_pool() {
    let requests = working_days(3, 3);
    let mean_at = |wanted| {
        let mut planner = PoolPlanner::new(settings(wanted)).unwrap();
        let targets = run(&mut planner, &requests).targets;
        let late = &targets[targets.len() / 2..];
        f64::from(late.iter().sum::<u32>()) / late.len() as f64
    };
    let means = [0.7, 0.9, 0.98].map(mean_at);
    assert!(means.is_sorted(), "{means:?}");
}

#[test]
fn a_plan_claims_no_hit_rate_before_anybody_has_asked() {
    let mut planner = PoolPlanner::new(settings(0.95)).unwrap();
    let mut text_at = |now_ms| {
        let plan = planner.plan(at(now_ms), &Inventory::default(), &KnownDemand::default());
        let text = plan.to_string();
        planner.observe(&arrival(now_ms + 1, 1), Outcome::Miss);
        text
    };
    let (before, after) = (text_at(0), text_at(TICK_MS));
    let none = "no record of hits yet where 0.9500 is wanted";
    assert!(before.contains(none), "{before}");
    let recorded = "hit rate 0.0000 lately where 0.9500 is wanted";
    assert!(after.contains(recorded), "{after}");
}

#[test]
fn a_second_more_or_less_changes_little() {
    let requests = working_days(3, 5);
    let mut shifted: Vec<(i64, u64)> = requests
        .iter()
        .enumerate()
        .map(|(n, &(at_ms, user))| (at_ms + (n as i64 * 37) % 1000, user))
        .collect();
    shifted.sort_unstable();
    let runs = [requests, shifted]
        .map(|requests| run(&mut PoolPlanner::new(settings(0.95)).unwrap(), &requests).idle_s);
    let ratio = runs[0] / runs[1];
    assert!((0.85..1.18).contains(&ratio), "{ratio}");
}

#[test]
fn what_comes_later_does_not_change_earlier_plans() {
    let requests = working_days(3, 11);
    let all = run(&mut PoolPlanner::new(settings(0.95)).unwrap(), &requests).targets;
    let first = &requests[..requests.len() / 2];
    let half = run(&mut PoolPlanner::new(settings(0.95)).unwrap(), first).targets;
    assert_eq!(half, all[..half.len()]);
}

#[test]
fn a_pool_that_nobody_asks_for_any_more_shrinks() {
    let mut requests = working_days(3, 13);
    let quiet_from = requests.len();
    requests.push((10 * 1440 * TICK_MS, 1));
    let mut planner = PoolPlanner::new(settings(0.95)).unwrap();
    let targets = run(&mut planner, &requests).targets;
    assert!(quiet_from > 100 && targets.iter().any(|&target| target > 0));
    assert_eq!(targets[9 * 1440], 0);
}

#[test]
fn a_model_survives_being_saved() {
    let requests = working_days(2, 17);
    let mut planner = PoolPlanner::new(settings(0.95)).unwrap();
    let _ = run(&mut planner, &requests);
    let model = planner.fit().unwrap().clone();
    let bytes = model.to_bytes();
    assert_eq!(crate::DemandModel::from_bytes(&bytes), Ok(model.clone()));
    for cut in [0, 7, 11, 40, bytes.len() - 1] {
        assert!(crate::DemandModel::from_bytes(&bytes[..cut]).is_err());
    }
    assert!(
        PoolPlanner::new(settings(0.9))
            .unwrap()
            .with_model(model.clone())
            .is_ok()
    );
    let mut other = settings(0.9);
    other.startup = Duration::from_secs(10);
    assert!(PoolPlanner::new(other).unwrap().with_model(model).is_err());
}

#[test]
fn known_demand_is_added_and_an_override_replaces_it() {
    let mut planner = PoolPlanner::new(settings(0.95)).unwrap();
    let pool = PoolName::new("small").unwrap();
    let mut known = KnownDemand {
        bookings: vec![
            Booking {
                at: at(100_000),
                count: 2,
            },
            Booking {
                at: at(1_000_000),
                count: 50,
            },
        ],
        preallocations: vec![PreAllocation {
            rule: "busy".to_owned(),
            pool: pool.clone(),
            count: 3,
            until: at(600_000),
            cause: "cpu is high".to_owned(),
        }],
        floors: Vec::new(),
        fixed: None,
    };
    let plan = planner.plan(at(0), &Inventory::default(), &known);
    assert_eq!(plan.target, 5, "{plan}");
    for count in [2, 4] {
        let cause = FloorCause::Follows {
            pool: pool.clone(),
            requests: count,
        };
        known.floors.push(Floor { count, cause });
    }
    let plan = planner.plan(at(0), &Inventory::default(), &known);
    assert_eq!(
        plan.target, 9,
        "the highest floor in the place of what was learnt: {plan}"
    );
    known.floors.clear();
    known.fixed = Some(Override {
        pool,
        count: 1,
        until: Some(at(60_000)),
        by: "ada".to_owned(),
        reason: "maintenance".to_owned(),
    });
    let plan = planner.plan(at(0), &Inventory::default(), &known);
    assert_eq!(plan.target, 1, "{plan}");
    let plan = planner.plan(at(60_000), &Inventory::default(), &known);
    assert_eq!(plan.target, 5, "{plan}");
}

#[test]
fn failing_starts_stop_growth_but_not_shrinking() {
    let mut bounded = settings(0.95);
    bounded.min = 4;
    bounded.breaker = BreakerSettings::default();
    let mut planner = PoolPlanner::new(bounded).unwrap();
    for _ in 0..3 {
        planner.start_failed(at(0));
    }
    let held = Inventory {
        ready: 1,
        ..Inventory::default()
    };
    assert_eq!(
        planner.plan(at(1), &held, &KnownDemand::default()).target,
        1
    );
    planner.start_succeeded();
    assert_eq!(
        planner.plan(at(2), &held, &KnownDemand::default()).target,
        4
    );
}

#[test]
fn a_pool_shrinks_no_faster_than_its_limits_allow_and_says_so() {
    let mut limited = settings(0.95);
    limited.ramp.down = 3;
    limited.ramp.down_an_hour = 5;
    let mut planner = PoolPlanner::new(limited).unwrap();
    let mut ready = 20;
    let mut plan_at = |minute: i64| {
        let inventory = Inventory {
            ready,
            ..Inventory::default()
        };
        let plan = planner.plan(at(minute * TICK_MS), &inventory, &KnownDemand::default());
        ready = plan.target;
        plan
    };
    let targets: Vec<u32> = (0..4).map(|minute| plan_at(minute).target).collect();
    assert_eq!(
        targets,
        [17, 15, 15, 15],
        "three in a tick, five in an hour"
    );
    let plan = plan_at(4);
    assert!(
        plan.to_string().contains("churn limit: 0 became 15"),
        "{plan}"
    );
    assert_eq!(plan_at(60).target, 12, "the hour has passed");
    assert!((61..600).map(|minute| plan_at(minute).target).min() == Some(0));
}

#[test]
fn every_objective_sizes_a_pool() {
    let requests = working_days(3, 19);
    for objective in [
        Objective::IdleBudget {
            idle_instances: 1.5,
        },
        Objective::Costs {
            idle_seconds_per_hit: 1_000.0,
        },
    ] {
        let mut wanted = settings(0.9);
        wanted.objective = objective;
        let run = run(&mut PoolPlanner::new(wanted).unwrap(), &requests);
        let reached = hit_share(&run, &requests);
        let idle = run.idle_s / (1.5 * 86_400.0);
        assert!(
            reached > 0.5 && (0.1..9.0).contains(&idle),
            "{objective:?}: {reached} {idle}"
        );
    }
}

#[test]
fn past_requests_say_nothing_of_the_hit_rate() {
    let plan_after = |show: fn(&mut PoolPlanner, &Arrival)| {
        let mut planner = PoolPlanner::new(settings(0.9)).unwrap();
        let mut next_ms = 0;
        for (at_ms, user) in working_days(2, 1) {
            while next_ms <= at_ms {
                let _ = planner.plan(at(next_ms), &Inventory::default(), &KnownDemand::default());
                next_ms += TICK_MS;
            }
            show(&mut planner, &arrival(at_ms, user));
        }
        let plan = planner.plan(at(next_ms), &Inventory::default(), &KnownDemand::default());
        plan.to_string()
    };
    let served = plan_after(|planner, arrival| planner.observe(arrival, Outcome::Hit));
    let past = plan_after(PoolPlanner::observe_past);
    let unchanged = "aiming at 0.9000";
    assert!(
        !served.contains(unchanged),
        "hits beyond the target lower the aim: {served}"
    );
    assert!(past.contains(unchanged), "{past}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Odd times, odd gaps and odd inventories are taken without a panic, targets stay within
    /// bounds and ramps, and asking twice gives the same answer.
    #[test]
    fn a_plan_is_within_bounds_and_the_same_when_asked_twice(
        steps in prop::collection::vec(
            (
                prop_oneof![
                    8 => -120_000_i64..400_000,
                    1 => Just(90 * 86_400_000_i64),
                    1 => Just(i64::MAX),
                ],
                0_u64..4,
                0_u32..40,
                any::<bool>(),
            ),
            1..200,
        ),
        min in 0_u32..3,
        room in 0_u32..9,
        up in 1_u32..5,
    ) {
        let mut bounded = settings(0.9);
        bounded.min = min;
        bounded.max = min + room;
        bounded.ramp = RampLimit { up, ..RampLimit::default() };
        let mut planner = PoolPlanner::new(bounded).unwrap();
        let mut now_ms = 1_000_000_000_000_i64;
        for (step, user, held, ask) in steps {
            now_ms = now_ms.saturating_add(step);
            if !ask {
                planner.observe(&arrival(now_ms, user), Outcome::Miss);
                continue;
            }
            let inventory = Inventory { ready: held, ..Inventory::default() };
            let plan = planner.plan(at(now_ms), &inventory, &KnownDemand::default());
            prop_assert!((min..=min + room).contains(&plan.target), "{}", plan);
            prop_assert!(plan.target <= held.saturating_add(up).max(min), "{}", plan);
            let again = planner.plan(at(now_ms), &inventory, &KnownDemand::default());
            prop_assert_eq!(plan, again);
        }
    }
}

#[test]
fn another_objective_plans_with_what_was_learnt_and_asking_changes_nothing() {
    let requests = working_days(3, 5);
    let mut planner = PoolPlanner::new(settings(0.9)).unwrap();
    run(&mut planner, &requests);
    let now = planner.latest().unwrap().at;
    let ask = |planner: &PoolPlanner, settings| {
        let (held, known) = (Inventory::default(), KnownDemand::default());
        planner.plan_under(settings, now, &held, &known).unwrap()
    };
    let before = planner.latest().cloned();
    let (low, high) = (ask(&planner, settings(0.5)), ask(&planner, settings(0.999)));
    let (low, high) = (low.unwrap(), high.unwrap());
    assert!(low.target <= high.target && high.mode != Mode::Learning);
    assert_eq!(planner.latest().cloned(), before);
    assert_eq!(planner.retarget(settings(0.999)), Ok(true));
    let held = Inventory::default();
    let plan = planner.plan(now, &held, &KnownDemand::default());
    assert_eq!(plan, high);
    let slower = PoolSettings {
        startup: Duration::from_mins(9),
        ..settings(0.9)
    };
    assert_eq!(ask(&planner, slower.clone()), None);
    assert_eq!(planner.retarget(slower), Ok(false));
}
