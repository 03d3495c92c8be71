//! How requests are served, in the order of preference.

use std::time::Duration;

use crate::bench::{Bench, pool, request, second, spec, user};
use foreshadow_allocator::{
    AllocationRequest, AllocationState, AllocatorError, Effect, HoldMode, Served, Target,
};
use foreshadow_types::{Bytes, InstanceId, Requirements, Shape, TenantId, Vcpus};

#[test]
fn a_warm_instance_is_granted_at_once_and_refilled_at_once() {
    let mut bench = Bench::new(spec(4)).warm(1);
    let got = bench.ask(request("a")).unwrap();
    assert_eq!(got.state, AllocationState::Granted);
    assert!(got.warm && !got.merged);
    assert_eq!(got.lease_expires_at, Some(second(100)));
    assert_eq!(
        got.instance.unwrap().address.as_deref(),
        Some("127.0.0.1:9001")
    );
    assert_eq!(bench.counts(), (0, 1, 1, 0));
    assert_eq!(
        bench.effects,
        [Effect::Start {
            instance: InstanceId(2),
            pool: pool("small")
        }]
    );
}

#[test]
fn a_miss_joins_the_oldest_free_starting_instance() {
    let mut bench = Bench::new(spec(4));
    bench.plan(1, &[], &[]);
    let got = bench.at(4).ask(request("a")).unwrap();
    assert_eq!(got.state, AllocationState::Joined);
    assert_eq!(got.served, Served::Starting);
    assert_eq!(got.estimated_wait, Some(Duration::from_secs(6)));
    bench.at(9).ready(1);
    let now = bench.state_of(got.id);
    assert_eq!(now.state, AllocationState::Granted);
    assert_eq!(now.lease_expires_at, Some(second(109)));
    assert!(!now.warm, "it had to wait");
}

#[test]
fn a_miss_with_nothing_starting_starts_its_own() {
    let mut bench = Bench::new(spec(4));
    let got = bench.ask(request("a")).unwrap();
    assert_eq!(
        (got.state, got.served),
        (AllocationState::Joined, Served::Started)
    );
    assert_eq!(bench.counts(), (0, 0, 1, 0));
}

#[test]
fn a_full_pool_queues_and_serves_when_an_instance_is_gone() {
    let mut bench = Bench::new(spec(1)).warm(1);
    let first = bench.ask(request("a")).unwrap();
    let second = bench.ask(request("b")).unwrap();
    assert_eq!(
        (second.state, second.queue_position),
        (AllocationState::Queued, Some(1))
    );
    bench.release(&first).unwrap();
    assert_eq!(bench.state_of(second.id).state, AllocationState::Queued);
    bench.gone(1);
    assert_eq!(bench.state_of(second.id).state, AllocationState::Joined);
    bench.ready(2);
    assert_eq!(bench.state_of(second.id).state, AllocationState::Granted);
}

#[test]
fn the_queue_goes_by_priority_then_turn_then_time() {
    let mut bench = Bench::new(spec(1)).warm(1);
    bench.ask(request("z")).unwrap();
    let flood: Vec<_> = (0..3)
        .map(|_| bench.ask(request("flood")).unwrap().id)
        .collect();
    let other = bench.at(1).ask(request("other")).unwrap().id;
    let urgent = bench.ask(request("flood").priority(5)).unwrap().id;
    let place = |id| bench.state_of(id).queue_position.unwrap();
    assert_eq!(place(urgent), 1);
    assert_eq!(
        (
            place(flood[0]),
            place(other),
            place(flood[1]),
            place(flood[2])
        ),
        (2, 3, 4, 5)
    );
}

#[test]
fn a_full_queue_refuses_with_a_delay() {
    let mut small = spec(1);
    small.max_queue = 1;
    let mut bench = Bench::new(small).warm(1);
    bench.ask(request("a")).unwrap();
    bench.ask(request("a")).unwrap();
    let refused = bench.ask(request("a")).unwrap_err();
    assert!(matches!(
        refused,
        AllocatorError::Exhausted {
            queue_full: true,
            ..
        }
    ));
    // One lease of 100 s has to end, then a start of 10 s.
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(110)));
}

#[test]
fn a_request_that_does_not_wait_gets_a_warm_instance_or_none() {
    let mut bench = Bench::new(spec(2)).warm(1);
    let hurried = || request("a").max_wait(Duration::ZERO);
    assert!(bench.ask(hurried()).unwrap().warm);
    let refused = bench.ask(hurried()).unwrap_err();
    assert!(matches!(
        refused,
        AllocatorError::Exhausted {
            queue_full: false,
            ..
        }
    ));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(10)));
}

#[test]
fn max_wait_is_kept_and_the_instance_stays_in_the_pool() {
    let mut bench = Bench::new(spec(1));
    let got = bench
        .ask(request("a").max_wait(Duration::from_secs(3)))
        .unwrap();
    bench.plan(1, &[], &[]);
    bench.at(3);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Rejected);
    assert_eq!(bench.counts(), (0, 1, 0, 0));
}

#[test]
fn what_is_reserved_goes_to_nobody_else() {
    let mut bench = Bench::new(spec(3)).warm(1);
    bench.plan(1, &[("ada", 1)], &[]);
    let stranger = bench.ask(request("t").user(user("bob"))).unwrap();
    assert_eq!(stranger.served, Served::Started);
    let ada = bench.ask(request("t").user(user("ada"))).unwrap();
    assert_eq!(ada.served, Served::Ready);
    let status = bench.allocator.pool_status(&pool("small")).unwrap();
    assert_eq!(status.reserved, 0, "the reservation is used up");
}

#[test]
fn the_same_merge_key_shares_an_instance_and_its_token() {
    let mut bench = Bench::new(spec(3)).warm(1);
    let one = bench.ask(request("t").merge_key("build")).unwrap();
    let two = bench.ask(request("t").merge_key("build")).unwrap();
    let other_tenant = bench.ask(request("u").merge_key("build")).unwrap();
    assert!(two.merged && two.warm);
    assert_eq!(two.instance, one.instance);
    assert_eq!(two.fencing_token, one.fencing_token);
    assert_ne!(other_tenant.instance, one.instance);
    bench.release(&one).unwrap();
    assert_eq!(bench.state_of(two.id).state, AllocationState::Granted);
    bench.release(&two).unwrap();
    assert_eq!(bench.counts().3, 1, "the last holder's release recycles it");
}

#[test]
fn a_shareable_pool_packs_by_remaining_capacity() {
    let mut shared = spec(4);
    shared.shares = 8;
    shared.shape = Shape {
        vcpus: Vcpus::new(4.0).unwrap(),
        memory: Bytes(8 << 30),
        ..Shape::default()
    };
    let mut bench = Bench::new(shared).warm(2);
    let wants = |vcpus: f64| {
        let shape = Shape {
            vcpus: Vcpus::new(vcpus).unwrap(),
            memory: Bytes(1 << 30),
            ..Shape::default()
        };
        let requirements = Requirements {
            shape,
            ..Requirements::default()
        };
        let target = Target::Requirements(requirements.into());
        AllocationRequest::builder(TenantId::new("t").unwrap(), target)
    };
    let instance = |got: foreshadow_allocator::Allocation| got.instance.unwrap().id;
    let first = instance(bench.ask(wants(3.0)).unwrap());
    assert_eq!(instance(bench.ask(wants(1.0)).unwrap()), first);
    assert_ne!(
        instance(bench.ask(wants(1.0)).unwrap()),
        first,
        "it is full"
    );
    assert_eq!(
        bench.ask(wants(5.0)).unwrap_err(),
        AllocatorError::NothingFits
    );
}

#[test]
fn requirements_take_the_smallest_pool_that_fits() {
    let mut large = spec(2);
    large.name = pool("large");
    large.shape = Shape {
        vcpus: Vcpus::new(8.0).unwrap(),
        memory: Bytes(64 << 30),
        ..Shape::default()
    };
    let mut small = spec(2);
    small.shape = Shape {
        vcpus: Vcpus::new(2.0).unwrap(),
        memory: Bytes(8 << 30),
        ..Shape::default()
    };
    let mut bench = Bench::new(large);
    bench
        .input(foreshadow_allocator::Input::DefinePool(Box::new(small)))
        .unwrap();
    let shape = Shape {
        vcpus: Vcpus::new(1.0).unwrap(),
        memory: Bytes(1 << 30),
        ..Shape::default()
    };
    let target = Target::Requirements(
        Requirements {
            shape,
            ..Requirements::default()
        }
        .into(),
    );
    let builder = AllocationRequest::builder(TenantId::new("t").unwrap(), target);
    assert_eq!(bench.ask(builder).unwrap().pool, pool("small"));
}

#[test]
fn a_held_pool_freezes_what_waits_and_thaws_what_is_claimed() {
    let mut frozen = spec(2);
    frozen.hold = HoldMode::Freeze;
    let mut bench = Bench::new(frozen);
    bench.plan(1, &[], &[]);
    bench.ready(1);
    let instance = InstanceId(1);
    assert!(bench.effects.contains(&Effect::Hold {
        instance,
        pool: pool("small")
    }));
    bench.ask(request("a")).unwrap();
    assert!(bench.effects.contains(&Effect::Thaw {
        instance,
        pool: pool("small")
    }));
}

#[test]
fn a_request_that_fits_several_pools_queues_where_the_wait_is_shortest() {
    let mut slow = spec(1);
    slow.name = pool("slow");
    slow.startup = Duration::from_mins(5);
    let mut quick = spec(1);
    quick.shape = Shape {
        vcpus: Vcpus::new(1.0).unwrap(),
        memory: Bytes(1),
        ..Shape::default()
    };
    let mut bench = Bench::new(quick).warm(1);
    bench
        .input(foreshadow_allocator::Input::DefinePool(Box::new(slow)))
        .unwrap();
    let anywhere = || {
        let target = Target::Requirements(Requirements::default().into());
        AllocationRequest::builder(TenantId::new("t").unwrap(), target)
    };
    bench.ask(anywhere()).unwrap();
    bench.ask(anywhere()).unwrap();
    let queued = bench.ask(anywhere()).unwrap();
    assert_eq!(
        (queued.state, queued.pool),
        (AllocationState::Queued, pool("small"))
    );
}

#[test]
fn a_preferred_place_comes_before_a_better_fit() {
    let zoned = |name: &str, zone: &str, vcpus: f64| {
        let mut spec = spec(2);
        spec.name = pool(name);
        spec.shape.vcpus = Vcpus::new(vcpus).unwrap();
        spec.labels.insert("zone".to_owned(), zone.to_owned());
        foreshadow_allocator::Input::DefinePool(Box::new(spec))
    };
    let mut bench = Bench::new(spec(2));
    bench.input(zoned("near", "a", 8.0)).unwrap();
    bench.input(zoned("far", "b", 4.0)).unwrap();
    let in_zones = |zones: &[&str]| {
        let preferred = zones
            .iter()
            .map(|zone| [("zone".to_owned(), (*zone).to_owned())].into());
        let requirements = Requirements {
            preferences: preferred.collect(),
            ..Requirements::default()
        };
        let target = Target::Requirements(requirements.into());
        AllocationRequest::builder(TenantId::new("t").unwrap(), target)
    };
    let mut served_in = |zones: &[&str]| bench.ask(in_zones(zones)).unwrap().pool;
    assert_eq!(served_in(&["a", "b"]), pool("near"));
    assert_eq!(served_in(&["b", "a"]), pool("far"));
    assert_eq!(
        served_in(&["c"]),
        pool("small"),
        "none is met: the best fit"
    );
}

#[test]
fn a_request_without_gpus_leaves_them_to_others() {
    let mut with_gpu = spec(2);
    with_gpu.name = pool("gpu");
    with_gpu.shape.gpus = 1;
    let mut bench = Bench::new(with_gpu);
    let mut large = spec(2);
    large.shape.vcpus = Vcpus::new(64.0).unwrap();
    bench
        .input(foreshadow_allocator::Input::DefinePool(Box::new(large)))
        .unwrap();
    let mut asking = |gpus| {
        let mut requirements = Requirements::default();
        requirements.shape.gpus = gpus;
        let target = Target::Requirements(requirements.into());
        bench.ask(AllocationRequest::builder(
            TenantId::new("t").unwrap(),
            target,
        ))
    };
    assert_eq!(asking(0).unwrap().pool, pool("small"));
    assert_eq!(asking(1).unwrap().pool, pool("gpu"));
    assert_eq!(asking(2).unwrap_err(), AllocatorError::NothingFits);
}

#[test]
fn a_refused_request_finds_room_when_it_comes_back_as_told() {
    let mut small = spec(2);
    small.max_queue = 1;
    small.recycle = foreshadow_allocator::Recycle::Reuse;
    let mut bench = Bench::new(small).warm(2);
    // Leases of 40 s, taken 20 s apart: every 20 s one ends.
    let lease = || request("t").lease_duration(Duration::from_secs(40));
    for at in [0, 20, 40, 60, 80] {
        bench.at(at).ask(lease()).unwrap();
    }
    bench
        .at(81)
        .ask(lease().max_wait(Duration::from_mins(9)))
        .unwrap();
    let refused = bench.ask(lease()).unwrap_err();
    let AllocatorError::Exhausted {
        queue_full: true,
        retry_after,
        ..
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert!(retry_after <= Duration::from_secs(40), "{retry_after:?}");
    let back = 81 + retry_after.as_secs_f64().ceil() as i64;
    assert!(bench.at(back).ask(lease()).is_ok());
}
