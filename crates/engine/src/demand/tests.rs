use foreshadow_allocator::{AdoptedPlan, AllocatorConfig, Input, PoolPlan, PoolSpec};
use foreshadow_types::{InstanceCount, InstanceId, Requirements, Shape, TenantId, Vcpus};

use super::*;

fn vcpus(count: f64) -> Shape {
    Shape {
        vcpus: Vcpus::new(count).unwrap(),
        ..Shape::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(0)
}

fn pool(name: &str, shape: Shape) -> PoolSpec {
    let mut spec = PoolSpec::new(PoolName::new(name).unwrap());
    spec.max = InstanceCount(1);
    spec.shape = shape;
    spec.shares = 2;
    spec
}

/// One instance of two vCPUs that is ready, and room for one of eight.
fn small_and_large() -> Allocator {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let small = pool("small", vcpus(2.0));
    let plan = AdoptedPlan {
        generation: 1,
        pools: vec![PoolPlan {
            pool: small.name.clone(),
            target: InstanceCount(1),
            reservations: Vec::new(),
            predicted_demand: Vec::new(),
        }],
    };
    for input in [
        Input::DefinePool(Box::new(small)),
        Input::DefinePool(Box::new(pool("large", vcpus(8.0)))),
        Input::AdoptPlan(Box::new(plan)),
        Input::Ready {
            instance: InstanceId(1),
            address: "a".into(),
        },
    ] {
        allocator.handle(input, now()).unwrap();
    }
    allocator
}

/// What is noted of a request for four vCPUs.
fn seen(allocator: &mut Allocator, merge_key: Option<&str>) -> (Fate, bool) {
    let asked = Requirements {
        shape: vcpus(4.0),
        ..Requirements::default()
    };
    let tenant = TenantId::new("acme").unwrap();
    let request = AllocationRequest::builder(tenant, Target::Requirements(asked.into()));
    let request = Arc::new(request.merge_key(merge_key).build().unwrap());
    let outcome = allocator.handle(Input::Allocate(request.clone()), now());
    let outcome = outcome.map_err(EngineError::Allocator);
    let seen = RequestSeen::of(request, &outcome, now(), allocator).unwrap();
    (seen.fate, seen.shape_mismatch)
}

#[test]
fn who_shares_a_start_for_lack_of_a_smaller_shape_waits_for_its_shape() {
    let mut allocator = small_and_large();
    let first = seen(&mut allocator, None);
    assert_eq!(first, (Fate::Served(Outcome::Miss), true));
    let second = seen(&mut allocator, None);
    assert_eq!(second, (Fate::Merged(Outcome::Join), true));
}

#[test]
fn who_joins_the_instance_of_its_key_would_get_it_whatever_it_asked_for() {
    let mut allocator = small_and_large();
    let first = seen(&mut allocator, Some("k"));
    assert_eq!(first, (Fate::Served(Outcome::Miss), true));
    let second = seen(&mut allocator, Some("k"));
    assert_eq!(second, (Fate::Merged(Outcome::Join), false));
}
