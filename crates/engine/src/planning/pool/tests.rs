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
    let settings = pool.settings().clone();
    let anew = pool.made_anew(settings, Timestamp::from_millis(10));
    let anew = anew.unwrap();
    assert_eq!(anew.misses().of(MissCause::ShapeMismatch), 3);
    pool.replace_planner(anew);
    assert_eq!(pool.waits(), waits);
}

#[test]
fn a_request_that_shares_an_instance_is_a_hit_but_no_demand_and_ends_nobodys_work() {
    let mut pool = planned();
    pool.request(&seen(1, Fate::Served(Outcome::Miss)));
    pool.request(&seen(2, Fate::Merged(Outcome::Hit)));
    assert_eq!((pool.outcomes.hits, pool.outcomes.misses), (1, 1));
    assert_eq!(pool.remembered[1].1, Past::Merged(Outcome::Hit.into()));

    let row = RequestRecord {
        at: Timestamp::from_millis(2),
        user: UserId::new("ada").ok(),
        application: None,
        pool: pool.name().clone(),
        hold: Some(Duration::from_millis(5)),
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
