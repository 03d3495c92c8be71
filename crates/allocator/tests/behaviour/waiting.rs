//! Whom a free instance is for, of those who wait for it in different ways.

use std::sync::Arc;

use foreshadow_allocator::{
    Allocation, AllocationRequest, AllocationRequestBuilder, AllocationState, Input, PoolSpec,
    Recycle, Target,
};
use foreshadow_types::{Bytes, InstanceCount, InstanceId, Requirements, Shape, TenantId, Vcpus};

use crate::bench::{Bench, pool, request, second, spec};

/// Instances of four vCPUs that are used again as they are, and all wanted.
fn reused(name: &str, max: u32) -> PoolSpec {
    let mut spec = spec(max);
    spec.name = pool(name);
    spec.recycle = Recycle::Reuse;
    spec.min = InstanceCount(max);
    spec.shape = vcpus(4.0).plus(&Shape {
        memory: Bytes(15 << 30),
        ..Shape::default()
    });
    spec
}

fn vcpus(vcpus: f64) -> Shape {
    Shape {
        vcpus: Vcpus::new(vcpus).unwrap(),
        memory: Bytes(1 << 30),
        ..Shape::default()
    }
}

/// Asks for a shape, in whatever pool.
fn shaped(tenant: &str, shape: Shape) -> AllocationRequestBuilder {
    let requirements = Requirements {
        shape,
        ..Requirements::default()
    };
    let target = Target::Requirements(Arc::new(requirements));
    AllocationRequest::builder(TenantId::new(tenant).unwrap(), target)
}

fn named(tenant: &str, name: &str) -> AllocationRequestBuilder {
    let target = Target::Pool(pool(name));
    AllocationRequest::builder(TenantId::new(tenant).unwrap(), target)
}

/// Takes the only instance of each of these pools, the first of which is `small`.
fn all_taken(names: &[&str]) -> (Bench, Vec<Allocation>) {
    let mut bench = Bench::new(reused(names[0], 1));
    for name in &names[1..] {
        let other = Input::DefinePool(Box::new(reused(name, 1)));
        bench.input(other).unwrap();
    }
    let mut held = Vec::new();
    for (instance, name) in (1..).zip(names) {
        bench.ready(instance);
        held.push(bench.ask(named("holder", name)).unwrap());
    }
    (bench, held)
}

#[test]
fn whoever_is_most_urgent_gets_what_fits_wherever_it_queues() {
    let (mut bench, held) = all_taken(&["small", "other"]);
    let first = bench.ask(shaped("t", vcpus(1.0)).priority(9)).unwrap();
    let second = bench.ask(shaped("t", vcpus(1.0)).priority(9)).unwrap();
    assert_ne!(
        first.pool, second.pool,
        "they queue where the wait is shortest"
    );
    let home = usize::from(first.pool == pool("other"));
    let named = bench.ask(named("t", second.pool.as_str())).unwrap();

    // Only one instance ever becomes free; it serves those whom it fits in their order.
    bench.release(&held[1 - home]).unwrap();
    let moved = bench.state_of(first.id);
    assert_eq!(moved.state, AllocationState::Granted);
    assert_eq!(
        (&moved.pool, &moved.instance),
        (&second.pool, &held[1 - home].instance)
    );
    bench.release(&moved).unwrap();
    let served = bench.state_of(second.id);
    assert_eq!(served.state, AllocationState::Granted);
    assert_eq!(bench.state_of(named.id).state, AllocationState::Queued);
    bench.release(&served).unwrap();
    assert_eq!(bench.state_of(named.id).state, AllocationState::Granted);
}

#[test]
fn a_request_by_shape_finds_the_one_free_instance_of_many_pools() {
    let names: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all[0] = "small";
    let (mut bench, held) = all_taken(&all);
    let at_once = || shaped("t", vcpus(2.0)).max_wait(std::time::Duration::ZERO);
    assert!(bench.ask(at_once()).is_err());
    bench.release(&held[37]).unwrap();
    let granted = bench.ask(at_once()).unwrap();
    assert_eq!(granted.instance, held[37].instance);
}

#[test]
fn whoever_waits_to_share_joins_wherever_in_the_queue_it_stands() {
    let (mut bench, held) = all_taken(&["small"]);
    let build = || request("t").merge_key("build");
    let one = bench.ask(build()).unwrap();
    let between = bench.ask(request("u").priority(5)).unwrap();
    let two = bench.ask(build()).unwrap();
    bench.release(&held[0]).unwrap();
    let between = bench.state_of(between.id);
    assert_eq!(between.state, AllocationState::Granted);
    bench.release(&between).unwrap();
    let (one, two) = (bench.state_of(one.id), bench.state_of(two.id));
    assert_eq!(one.state, AllocationState::Granted);
    assert_eq!((two.state, two.merged), (AllocationState::Granted, true));
    assert_eq!(one.instance, two.instance);
    assert_eq!(one.fencing_token, two.fencing_token);
}

#[test]
fn a_booking_is_warm_in_time_although_it_could_share() {
    let mut shared = reused("small", 2);
    shared.shares = 8;
    let mut bench = Bench::new(shared).warm(2);
    let held = bench.ask(shaped("t", vcpus(1.0))).unwrap();
    let booked = bench
        .ask(shaped("t", vcpus(1.0)).availability_time(second(50)))
        .unwrap();
    bench.at(49);
    assert_eq!(bench.counts().0, 0, "the free instance is set aside");
    bench.at(50);
    let granted = bench.state_of(booked.id);
    assert_eq!(granted.state, AllocationState::Granted);
    assert_ne!(granted.instance, held.instance);
}

#[test]
fn what_is_freed_while_a_booking_has_none_is_set_aside_for_it() {
    let (mut bench, held) = all_taken(&["small"]);
    let booked = bench
        .ask(request("t").availability_time(second(50)))
        .unwrap();
    bench.at(49);
    bench.release(&held[0]).unwrap();
    let later = bench.ask(request("u")).unwrap();
    assert_eq!(later.state, AllocationState::Queued);
    bench.at(50);
    let granted = bench.state_of(booked.id);
    assert_eq!(granted.state, AllocationState::Granted);
    assert_eq!(granted.instance.unwrap().id, InstanceId(1));
}

#[test]
fn a_booking_comes_after_those_who_wait_already() {
    let (mut bench, held) = all_taken(&["small"]);
    bench
        .ask(request("t").availability_time(second(50)))
        .unwrap();
    bench.at(49);
    let waits = bench.ask(request("u")).unwrap();
    bench.release(&held[0]).unwrap();
    assert_eq!(bench.state_of(waits.id).state, AllocationState::Granted);
}

#[test]
fn room_goes_to_the_next_tenant_but_in_turn_within_one() {
    let mut shared = reused("small", 1);
    shared.shares = 8;
    let mut bench = Bench::new(shared).warm(1);
    let half = bench.ask(shaped("t", vcpus(2.0))).unwrap();
    bench.ask(shaped("t", vcpus(2.0))).unwrap();
    let other = bench.ask(shaped("u", vcpus(1.0)).priority(2)).unwrap();
    let much = bench.ask(shaped("t", vcpus(3.0)).priority(1)).unwrap();
    let little = bench.ask(shaped("t", vcpus(1.0))).unwrap();
    bench.release(&half).unwrap();
    // `u` may not share with `t`, and who asks for little does not pass who asks for much.
    for waiting in [&other, &much, &little] {
        assert_eq!(bench.state_of(waiting.id).state, AllocationState::Queued);
    }
    bench.input(Input::Cancel { id: much.id }).unwrap();
    assert_eq!(bench.state_of(little.id).state, AllocationState::Granted);
    assert_eq!(bench.state_of(other.id).state, AllocationState::Queued);
}
