use std::sync::Arc;

use foreshadow_allocator::{AllocationRequest, Target};
use foreshadow_providers::ProcessSpec;
use foreshadow_types::TenantId;

use super::*;

fn planned() -> PlannedPool {
    let process = ProcessSpec::new(vec!["true".to_owned()]);
    let config = PoolConfig::new(PoolName::new("web").unwrap(), process, 4);
    PlannedPool::new(config, &ShadowConfig::default(), 1).unwrap()
}

fn seen(ms: i64, fate: Fate) -> RequestSeen {
    let pool = PoolName::new("web").unwrap();
    let tenant = TenantId::new("acme").unwrap();
    let request = AllocationRequest::builder(tenant, Target::Pool(pool.clone()));
    RequestSeen {
        at: Timestamp::from_millis(ms),
        pool,
        request: Arc::new(request.user(UserId::new("ada").ok()).build().unwrap()),
        fate,
        shape_mismatch: false,
    }
}

#[test]
fn a_wait_for_the_shape_has_that_cause_now_and_when_the_planner_is_made_anew() {
    let mut pool = planned();
    let fates = [
        Fate::Rejected,
        Fate::Served(Outcome::Join),
        Fate::Served(Outcome::Hit),
        Fate::Merged(Outcome::Join),
        Fate::Merged(Outcome::Hit),
    ];
    for (ms, fate) in fates.into_iter().enumerate() {
        pool.request(&RequestSeen {
            shape_mismatch: true,
            ..seen(ms as i64, fate)
        });
    }
    let waits = BTreeMap::from([("shape_mismatch".to_owned(), 3)]);
    assert_eq!(pool.waits(), waits);
    pool.live_through_the_remembered(Timestamp::from_millis(10));
    assert_eq!(pool.planner.misses().of(MissCause::ShapeMismatch), 3);
    assert_eq!(pool.waits(), waits);
}

#[test]
fn a_request_that_shares_an_instance_is_a_hit_but_no_demand_and_ends_nobodys_work() {
    let mut pool = planned();
    pool.request(&seen(1, Fate::Served(Outcome::Miss)));
    pool.request(&seen(2, Fate::Merged(Outcome::Hit)));
    assert_eq!((pool.outcomes.hits, pool.outcomes.misses), (1, 1));
    let second = pool.remembered.iter().nth(1).unwrap();
    assert_eq!(second.1, Past::Merged(Outcome::Hit.into()));

    let row = RequestRecord {
        at: Timestamp::from_millis(2),
        user: UserId::new("ada").ok(),
        application: None,
        pool: pool.name().clone(),
        // The end tells how long the use lasted from the request on, a wait included.
        hold: Some(Duration::from_millis(3)),
        vcpus: None,
        memory: None,
        merge_key: None,
    };
    pool.ended(&row, Timestamp::from_millis(7));
    let holds: Vec<_> = pool.remembered.iter().map(|(past, _)| past.hold).collect();
    let ended = Some(Duration::from_millis(5));
    assert_eq!(holds, [Some(Arrival::UNTIL_RELEASED), ended]);

    let settings = pool.settings().clone();
    let anew = pool
        .made_anew(settings, Timestamp::from_millis(10))
        .unwrap();
    assert_eq!(anew.misses().total(), 1);
}

#[test]
fn what_is_recalled_later_comes_before_what_was_seen_meanwhile() {
    let (mut pool, mut past) = (planned(), planned());
    for minute in 0..60 {
        let arrival = Arrival {
            at: Timestamp::from_millis(60_000 * minute),
            user: 0,
            application: 0,
            hold: None,
        };
        past.remember(arrival, Past::Unknown);
    }
    past.live_through_the_remembered(Timestamp::from_millis(3_600_000));
    pool.request(&seen(3_660_000, Fate::Served(Outcome::Miss)));
    pool.take_up(past, Timestamp::from_millis(3_720_000))
        .unwrap();
    assert_eq!(pool.remembered.iter().count(), 61);
    let times = pool.remembered.iter().map(|(past, _)| past.at);
    assert!(times.is_sorted());
    assert_eq!((pool.outcomes.misses, pool.waits().len()), (1, 1));
    // It goes on from there: the same as if it had seen it all in order.
    let mut in_order = planned();
    in_order.remembered.clone_from(&pool.remembered);
    in_order.live_through_the_remembered(Timestamp::from_millis(3_720_000));
    let now = Timestamp::from_millis(3_720_000);
    let plan = |pool: &mut PlannedPool| {
        let plan = pool.plan(now, &Inventory::default(), &KnownDemand::default());
        (plan.target, plan.mode)
    };
    assert_eq!(plan(&mut pool), plan(&mut in_order));
}

#[test]
fn what_was_asked_of_a_pool_is_told_in_steps_with_those_that_waited() {
    let mut pool = planned();
    assert_eq!(pool.known_from(), None);
    pool.remember(arrival_at(500), Past::Unknown);
    for (ms, outcome) in [
        (1_000, Outcome::Hit),
        (1_900, Outcome::Join),
        (3_100, Outcome::Miss),
    ] {
        pool.request(&seen(ms, Fate::Served(outcome)));
    }
    pool.request(&seen(3_200, Fate::Booked));
    let told = pool.demand(Timestamp::from_millis(1_000), Duration::from_secs(1), 3);
    let told: Vec<_> = told.iter().map(|one| (one.requests, one.waited)).collect();
    assert_eq!(told, [(2, 1), (0, 0), (1, 1)]);
    let before = pool.demand(Timestamp::from_millis(0), Duration::from_secs(1), 1);
    assert_eq!((before[0].requests, before[0].waited), (1, 0));
    assert_eq!(pool.known_from(), Some(Timestamp::from_millis(500)));
}

#[test]
fn a_plan_tells_how_its_pool_fares() {
    let mut pool = planned();
    let at = |second: i64| Timestamp::from_millis(second * 1_000);
    let known = KnownDemand::default();
    let plan = pool.plan(at(0), &Inventory::default(), &known);
    let record = pool.record(&plan);
    assert!(!record.starts_fail && record.beside.is_none(), "{record:?}");
    for second in 0..40 {
        pool.request(&seen(60_000 + second * 1_000, Fate::Served(Outcome::Miss)));
        pool.start_failed(at(60 + second));
    }
    let plan = pool.plan(at(120), &Inventory::default(), &known);
    let record = pool.record(&plan);
    assert!(record.starts_fail, "{record:?}");
    assert!(record.hit_rate.is_some_and(|rate| rate < 0.1), "{record:?}");
}

fn arrival_at(ms: i64) -> Arrival {
    Arrival {
        at: Timestamp::from_millis(ms),
        user: 0,
        application: 0,
        hold: None,
    }
}
