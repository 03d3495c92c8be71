//! Requests that wait only because of the shape that they ask for.

use crate::bench::{Bench, pool, request, second, spec};
use foreshadow_allocator::{
    AllocationRequest, AllocationRequestBuilder, AllocationState, AllocatorError, Input, PoolSpec,
    Recycle, TenantQuota, WarmQuota,
};
use foreshadow_types::{Bytes, Labels, Requirements, Shape, TenantId, Vcpus};
use std::{collections::BTreeMap, time::Duration};

fn shape(vcpus: f64) -> Shape {
    Shape {
        vcpus: Vcpus::new(vcpus).unwrap(),
        ..Shape::default()
    }
}

fn zone(name: &str) -> Labels {
    Labels::from([("zone".to_owned(), name.to_owned())])
}

fn sized(name: &str, vcpus: f64) -> PoolSpec {
    let mut spec = spec(2);
    spec.name = pool(name);
    spec.shape = shape(vcpus);
    spec.labels = zone("a");
    spec
}

/// Two warm instances of two vCPUs in `small`, none of eight in `large`, both in zone `a`.
fn small_and_large() -> Bench {
    let mut bench = Bench::new(sized("small", 2.0)).warm(2);
    let large = Box::new(sized("large", 8.0));
    bench.input(Input::DefinePool(large)).unwrap();
    bench
}

fn wants(requirements: Requirements) -> AllocationRequestBuilder {
    let target = foreshadow_allocator::Target::Requirements(requirements.into());
    AllocationRequest::builder(TenantId::new("t").unwrap(), target)
}

fn vcpus(vcpus: f64) -> Requirements {
    Requirements {
        shape: shape(vcpus),
        ..Requirements::default()
    }
}

fn waits_for_shape(bench: &Bench, request: AllocationRequestBuilder) -> bool {
    bench.allocator.waits_for_shape(&request.build().unwrap())
}

#[test]
fn a_request_for_more_than_what_is_warm_waits_for_its_shape() {
    let mut bench = small_and_large();
    assert!(!waits_for_shape(&bench, wants(vcpus(1.0))));
    assert!(waits_for_shape(&bench, wants(vcpus(4.0))));
    assert_eq!(
        bench.ask(wants(vcpus(4.0))).unwrap().state,
        AllocationState::Joined
    );
    assert!(waits_for_shape(&bench, wants(vcpus(4.0))), "after it too");
    let now_or_never = || wants(vcpus(4.0)).max_wait(Duration::ZERO);
    assert!(matches!(
        bench.ask(now_or_never()),
        Err(AllocatorError::Exhausted { .. })
    ));
    assert!(waits_for_shape(&bench, now_or_never()));
    bench.ready(3);
    assert!(waits_for_shape(&bench, wants(vcpus(4.0))), "it is held");
}

#[test]
fn any_part_of_the_shape_counts_but_neither_labels_nor_another_pool() {
    let mut bench = Bench::new(sized("small", 2.0)).warm(1);
    let mut gpus = sized("gpus", 2.0);
    gpus.shape.gpus = 1;
    gpus.labels = zone("b");
    bench.input(Input::DefinePool(Box::new(gpus))).unwrap();
    let gpu = |labels| {
        wants(Requirements {
            shape: Shape {
                gpus: 1,
                ..shape(1.0)
            },
            labels,
            ..Requirements::default()
        })
    };
    assert!(waits_for_shape(&bench, gpu(Labels::new())));
    assert!(
        !waits_for_shape(&bench, gpu(zone("b"))),
        "none is warm there"
    );
    bench.ask(request("t")).unwrap();
    assert!(!waits_for_shape(&bench, gpu(Labels::new())), "it is taken");
    assert!(!waits_for_shape(&bench, request("t")), "a pool by name");
}

#[test]
fn room_that_is_too_little_is_a_matter_of_shape_and_a_full_instance_is_not() {
    let mut shared = sized("small", 4.0);
    shared.max.0 = 1;
    shared.shares = 3;
    let mut bench = Bench::new(shared).warm(1);
    bench.ask(wants(vcpus(3.0))).unwrap();
    assert!(!waits_for_shape(&bench, wants(vcpus(1.0))), "there is room");
    assert!(waits_for_shape(&bench, wants(vcpus(2.0))));
    let other = || {
        let tenant = TenantId::new("u").unwrap();
        let target = foreshadow_allocator::Target::Requirements(vcpus(2.0).into());
        AllocationRequest::builder(tenant, target)
    };
    assert!(!waits_for_shape(&bench, other()), "another tenant's");
    bench.ask(wants(vcpus(0.5))).unwrap();
    bench.ask(wants(vcpus(0.5))).unwrap();
    assert!(
        !waits_for_shape(&bench, wants(vcpus(2.0))),
        "three share it"
    );
}

#[test]
fn an_instance_that_is_used_up_has_no_room_at_all() {
    let mut shared = sized("small", 4.0);
    shared.shape.memory = Bytes(8);
    shared.max.0 = 1;
    shared.shares = 3;
    let mut bench = Bench::new(shared).warm(1);
    bench.ask(wants(vcpus(4.0))).unwrap();
    assert!(!waits_for_shape(&bench, wants(vcpus(0.5))));
    let memory = Requirements {
        shape: Shape {
            memory: Bytes(9),
            ..Shape::default()
        },
        ..Requirements::default()
    };
    assert!(waits_for_shape(&bench, wants(memory)), "it has memory left");
}

#[test]
fn room_in_a_smaller_pool_counts_like_its_free_instances() {
    let mut shared = sized("small", 4.0);
    shared.shares = 3;
    let mut bench = Bench::new(shared).warm(1);
    bench
        .input(Input::DefinePool(Box::new(sized("large", 8.0))))
        .unwrap();
    bench.ask(wants(vcpus(3.0))).unwrap();
    assert_eq!(bench.counts().0, 0, "none is free");
    assert!(waits_for_shape(&bench, wants(vcpus(6.0))));
    bench.ask(wants(vcpus(1.0))).unwrap();
    assert!(!waits_for_shape(&bench, wants(vcpus(6.0))), "it is full");
}

#[test]
fn a_request_that_names_a_pool_asks_for_no_shape() {
    let mut shared = sized("small", 4.0);
    shared.max.0 = 1;
    shared.shares = 2;
    let mut bench = Bench::new(shared).warm(1);
    bench.ask(wants(vcpus(3.0))).unwrap();
    assert!(waits_for_shape(&bench, wants(vcpus(2.0))));
    assert!(!waits_for_shape(&bench, request("t")), "half of it is two");
}

#[test]
fn what_is_kept_for_others_is_not_what_the_shape_keeps_away() {
    let mut bench = small_and_large();
    bench.plan(2, &[("ada", 2)], &[]);
    assert!(!waits_for_shape(&bench, wants(vcpus(4.0))), "reserved");
    bench.plan(2, &[], &[]);
    assert!(waits_for_shape(&bench, wants(vcpus(4.0))));
    let warm = WarmQuota {
        floor: 0,
        cap: Some(0),
    };
    let quota = TenantQuota {
        warm: BTreeMap::from([(pool("small"), warm)]),
        ..TenantQuota::default()
    };
    let tenant = TenantId::new("t").unwrap();
    bench.input(Input::LimitTenant { tenant, quota }).unwrap();
    assert!(!waits_for_shape(&bench, wants(vcpus(4.0))), "its cap");
}

#[test]
fn a_pool_that_is_retired_has_no_shape() {
    let mut spec = sized("small", 2.0);
    spec.recycle = Recycle::Reuse;
    let mut bench = Bench::new(spec).warm(1);
    let large = Box::new(sized("large", 8.0));
    bench.input(Input::DefinePool(large)).unwrap();
    assert!(waits_for_shape(&bench, wants(vcpus(4.0))));
    bench.at(1).input(Input::RetirePool(pool("small"))).unwrap();
    assert!(!waits_for_shape(&bench, wants(vcpus(4.0))));
    assert_eq!(bench.now, second(1));
}
