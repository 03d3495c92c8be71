//! A history for a ledger to keep.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_allocator::{
    AdoptedPlan, AllocationRequest, Allocator, AllocatorConfig, Event, Input, PoolPlan, PoolSpec,
    RequestRate, Reservation, Target, TenantQuota, WarmQuota,
};
use foreshadow_types::{
    Bytes, EntityId, InstanceCount, InstanceId, PoolName, Requirements, Shape, TenantId, Timestamp,
    UserId, Vcpus,
};

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn spec() -> PoolSpec {
    let mut spec = PoolSpec::new(PoolName::new("small").unwrap());
    spec.max = InstanceCount(3);
    spec.shape = Shape {
        vcpus: Vcpus::new(2.5).unwrap(),
        memory: Bytes(1 << 30),
        ..Shape::default()
    };
    spec.dependencies.insert("python3.12".to_owned());
    spec.labels.insert("zone".to_owned(), "a".to_owned());
    spec.max_age = Some(Duration::from_micros(3_600_000_001));
    spec
}

pub(crate) fn plan(generation: u64) -> AdoptedPlan {
    let entity = EntityId::new("ada").unwrap();
    let pool = PoolPlan {
        pool: PoolName::new("small").unwrap(),
        target: InstanceCount(2),
        reservations: vec![Reservation {
            entity,
            count: InstanceCount(1),
        }],
        predicted_demand: vec![(second(60), 1), (second(120), 3)],
    };
    AdoptedPlan {
        generation,
        pools: vec![pool],
    }
}

fn request(number: usize) -> AllocationRequest {
    let target = if number.is_multiple_of(2) {
        Target::Pool(PoolName::new("small").unwrap())
    } else {
        let shape = Shape {
            vcpus: Vcpus::new(1.0).unwrap(),
            memory: Bytes(1),
            ..Shape::default()
        };
        let mut asked = Requirements {
            shape,
            ..Requirements::default()
        };
        asked.dependencies.insert("python3.12".to_owned());
        asked.labels.insert("zone".to_owned(), "a".to_owned());
        asked.preferences = vec![asked.labels.clone()];
        Target::Requirements(Arc::new(asked))
    };
    AllocationRequest::builder(TenantId::new("acme").unwrap(), target)
        .user(UserId::new("ada").unwrap())
        .merge_key((number == 3).then_some("m"))
        .idempotency_key(&*format!("key {number}"))
        .availability_time((number == 4).then_some(second(500)))
        .lease_duration(Duration::from_secs(77))
        .build()
        .unwrap()
}

/// A small history in which nearly every kind of event occurs, and the allocator at its end.
pub(crate) fn history() -> (Allocator, Vec<Vec<Event>>) {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let mut inputs = vec![
        Input::DefinePool(Box::new(spec())),
        Input::LimitTenant {
            tenant: TenantId::new("acme").unwrap(),
            quota: TenantQuota {
                live: Some(50),
                rate: Some(RequestRate {
                    per_second: 100,
                    burst: 100,
                }),
                ..TenantQuota::default()
            },
        },
        Input::LimitTenant {
            tenant: TenantId::new("umbrella").unwrap(),
            quota: TenantQuota {
                warm: BTreeMap::from([(
                    spec().name,
                    WarmQuota {
                        floor: 1,
                        cap: Some(3),
                    },
                )]),
                ..TenantQuota::default()
            },
        },
        Input::AdoptPlan(Box::new(plan(1))),
        Input::Ready {
            instance: InstanceId(1),
            address: "127.0.0.1:1".into(),
        },
        Input::Failed {
            instance: InstanceId(2),
        },
    ];
    inputs.extend((0..8).map(|number| Input::Allocate(Arc::new(request(number)))));
    inputs.push(Input::Given {
        instance: InstanceId(3),
        address: "10.9.9.9:1".into(),
    });
    inputs.push(Input::AdoptPlan(Box::new(plan(2))));
    inputs.push(Input::Drain {
        instance: InstanceId(1),
    });
    let mut groups = Vec::new();
    for (at, input) in (0..).zip(inputs) {
        allocator.handle(input, second(at)).unwrap();
        groups.push(std::iter::from_fn(|| allocator.poll_event()).collect());
    }
    allocator.handle_timeout(second(5_000));
    groups.push(std::iter::from_fn(|| allocator.poll_event()).collect());
    (allocator, groups)
}
