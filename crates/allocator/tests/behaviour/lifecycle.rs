//! Leases, recycling, failures, bookings, keys and plans.

use std::time::Duration;

use crate::bench::{Bench, pool, request, second, spec};
use foreshadow_allocator::{
    AllocationState, Allocator, AllocatorConfig, AllocatorError, Effect, Input, ListFilter,
    PoolSpec, Recycle,
};
use foreshadow_types::{FencingToken, InstanceCount, InstanceId};

fn recycling(recycle: Recycle) -> PoolSpec {
    PoolSpec { recycle, ..spec(1) }
}

#[test]
fn a_lease_expires_unless_it_is_renewed() {
    let mut bench = Bench::new(spec(2)).warm(1);
    let got = bench.ask(request("a")).unwrap();
    let token = got.fencing_token.unwrap();
    bench.at(90).renew(got.id, token).unwrap();
    bench.at(189);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Granted);
    bench.at(190);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Expired);
    assert!(matches!(
        bench.renew(got.id, token),
        Err(AllocatorError::WrongState { .. })
    ));
}

#[test]
fn a_stale_token_is_refused_everywhere() {
    let mut bench = Bench::new(recycling(Recycle::Reuse)).warm(1);
    let first = bench.ask(request("a")).unwrap();
    bench.release(&first).unwrap();
    let second = bench.ask(request("b")).unwrap();
    assert_eq!(
        second.instance, first.instance,
        "the instance is used again"
    );
    assert!(second.fencing_token > first.fencing_token);
    let stale = first.fencing_token.unwrap();
    let refused = |result| matches!(result, Err(AllocatorError::StaleToken { .. }));
    assert!(refused(bench.renew(second.id, stale).map(|_| ())));
    let release = Input::Release {
        id: second.id,
        token: stale,
    };
    assert!(refused(bench.input(release).map(|_| ())));
    assert!(refused(bench.allocator.check_token(InstanceId(1), stale)));
    let current = second.fencing_token.unwrap();
    assert_eq!(bench.allocator.check_token(InstanceId(1), current), Ok(()));
}

#[test]
fn a_release_said_twice_is_meant_once() {
    let mut bench = Bench::new(spec(2)).warm(1);
    let got = bench.ask(request("a")).unwrap();
    bench.release(&got).unwrap();
    bench.release(&got).unwrap();
    assert_eq!(bench.state_of(got.id).state, AllocationState::Released);
}

#[test]
fn an_instance_is_deleted_reset_or_reused_as_the_pool_says() {
    for (recycle, after) in [
        (Recycle::Delete, (0, 0, 0, 1)),
        (Recycle::Reset, (0, 1, 0, 0)),
        (Recycle::Reuse, (1, 0, 0, 0)),
    ] {
        let mut bench = Bench::new(recycling(recycle)).warm(1);
        let got = bench.ask(request("a")).unwrap();
        bench.release(&got).unwrap();
        assert_eq!(bench.counts(), after, "{recycle:?}");
    }
}

#[test]
fn a_reset_instance_is_ready_again_when_the_provider_says_so() {
    let mut bench = Bench::new(recycling(Recycle::Reset)).warm(1);
    let got = bench.ask(request("a")).unwrap();
    bench.release(&got).unwrap();
    assert!(bench.effects.contains(&Effect::Reset {
        instance: InstanceId(1),
        pool: pool("small")
    }));
    bench.ready(1);
    assert!(bench.ask(request("b")).unwrap().warm);
}

#[test]
fn a_failed_instance_is_replaced_and_its_holder_told() {
    let mut bench = Bench::new(spec(4)).warm(1);
    let got = bench.ask(request("a")).unwrap();
    bench.failed(1);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Lost);
    assert!(
        bench
            .effects
            .contains(&Effect::Notify { allocation: got.id })
    );
    assert_eq!(bench.counts(), (0, 1, 0, 1));
}

#[test]
fn whoever_waits_for_a_failed_start_waits_on_for_another() {
    let mut bench = Bench::new(spec(4));
    let got = bench.ask(request("a")).unwrap();
    bench.failed(1);
    assert_eq!(
        bench.state_of(got.id).state,
        AllocationState::Queued,
        "starts pause after a failure"
    );
    bench.at(1);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Joined);
    bench.ready(2);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Granted);
}

#[test]
fn a_start_that_takes_too_long_has_failed() {
    let mut bench = Bench::new(spec(4));
    bench.plan(1, &[], &[]);
    bench.at(300);
    assert_eq!(bench.counts(), (0, 0, 0, 1));
    let status = bench.allocator.pool_status(&pool("small")).unwrap();
    assert_eq!(status.failed_starts, 1);
}

#[test]
fn the_target_is_reached_in_both_directions() {
    let mut bench = Bench::new(spec(4)).warm(2);
    bench.plan(9, &[], &[]);
    assert_eq!(bench.counts(), (2, 2, 0, 0), "never past the maximum");
    bench.plan(1, &[], &[]);
    assert_eq!(bench.counts(), (1, 0, 0, 3));
    let last = bench.effects.last().unwrap();
    let oldest = Effect::Stop {
        instance: InstanceId(1),
        pool: pool("small"),
    };
    assert_eq!(*last, oldest, "starting ones first, then the oldest ready");
}

#[test]
fn a_plan_that_is_not_newer_is_refused() {
    let mut bench = Bench::new(spec(4)).warm(1);
    let plan = foreshadow_allocator::AdoptedPlan {
        generation: 1,
        pools: Vec::new(),
    };
    let refused = bench.input(Input::AdoptPlan(Box::new(plan)));
    assert_eq!(
        refused,
        Err(AllocatorError::StalePlan {
            current: 1,
            offered: 1
        })
    );
}

#[test]
fn a_booking_is_warm_at_its_time_and_lapses_unclaimed() {
    let mut bench = Bench::new(spec(4)).warm(1);
    let got = bench
        .ask(request("a").availability_time(second(1_000)))
        .unwrap();
    assert_eq!(got.state, AllocationState::Booked);
    bench.at(995);
    assert_eq!(bench.counts().2, 1, "an instance is set aside in time");
    bench.at(1_000);
    let now = bench.state_of(got.id);
    assert!(now.state == AllocationState::Granted && now.warm);
    assert_eq!(now.lease_expires_at, Some(second(1_060)));
    bench.at(1_060);
    assert_eq!(bench.state_of(got.id).state, AllocationState::Expired);
}

#[test]
fn a_renewal_claims_a_booking() {
    let mut bench = Bench::new(spec(4)).warm(1);
    let got = bench
        .ask(request("a").availability_time(second(1_000)))
        .unwrap();
    bench.at(1_001);
    let token = bench.state_of(got.id).fencing_token.unwrap();
    bench.renew(got.id, token).unwrap();
    assert_eq!(bench.state_of(got.id).lease_expires_at, Some(second(1_101)));
}

#[test]
fn what_predicted_demand_will_use_up_is_not_booked() {
    let mut bench = Bench::new(spec(4)).warm(2);
    bench.plan(2, &[], &[(500, 1), (1_000, 2)]);
    let early = bench
        .ask(request("a").availability_time(second(500)))
        .unwrap();
    let late = bench
        .ask(request("a").availability_time(second(1_000)))
        .unwrap();
    assert_eq!(early.state, AllocationState::Booked);
    assert_eq!(late.state, AllocationState::Queued);
    bench.at(1_000);
    assert!(
        bench.state_of(late.id).state.is_live(),
        "it is served when its time comes"
    );
    assert!(bench.state_of(late.id).instance.is_some());
}

#[test]
fn who_is_queued_for_a_time_ahead_knows_its_place() {
    let mut bench = Bench::new(spec(1)).warm(1);
    bench.plan(1, &[], &[(500, 1), (2_000, 1)]);
    let mut at = |time| {
        let ahead = request("a").availability_time(second(time));
        bench.ask(ahead).unwrap()
    };
    let (late, early) = (at(2_000), at(500));
    assert_eq!(late.state, AllocationState::Queued);
    let place = |bench: &Bench, id| bench.state_of(id).queue_position;
    assert_eq!(place(&bench, early.id), Some(1));
    assert_eq!(place(&bench, late.id), Some(2));
    let wait = bench.state_of(late.id).estimated_wait;
    assert!(wait >= Some(Duration::from_secs(2_000)), "{wait:?}");
    bench.ask(request("b")).unwrap();
    let now = bench.ask(request("c")).unwrap();
    assert_eq!(now.queue_position, Some(1), "it waits for nobody's time");
    assert_eq!(place(&bench, late.id), Some(3));
    bench.input(Input::Cancel { id: early.id }).unwrap();
    assert_eq!(place(&bench, late.id), Some(2));
}

#[test]
fn the_same_key_is_the_same_request() {
    let mut bench = Bench::new(spec(4)).warm(2);
    let first = bench.ask(request("a").idempotency_key("k")).unwrap();
    let again = bench.ask(request("a").idempotency_key("k")).unwrap();
    assert_eq!(again, first);
    let changed = bench
        .ask(request("a").idempotency_key("k").priority(1))
        .unwrap_err();
    assert_eq!(
        changed,
        AllocatorError::IdempotencyConflict { id: first.id }
    );
    let elsewhere = bench.ask(request("b").idempotency_key("k")).unwrap();
    assert_ne!(elsewhere.id, first.id, "keys are each tenant's own");
    bench.release(&first).unwrap();
    let next_day = bench
        .at(86_401)
        .ask(request("a").idempotency_key("k"))
        .unwrap();
    assert_ne!(next_day.id, first.id);
}

#[test]
fn ended_allocations_are_forgotten_past_their_number() {
    let config = AllocatorConfig {
        max_ended: 2,
        ..AllocatorConfig::default()
    };
    let mut bench = Bench::with_config(config, spec(9));
    let ids: Vec<_> = (0..4)
        .map(|_| {
            let got = bench.ask(request("a")).unwrap();
            bench.release(&got).unwrap();
            got.id
        })
        .collect();
    let known = |id| bench.allocator.allocation(id, second(0)).is_some();
    assert!(!known(ids[0]) && known(ids[3]));
}

#[test]
fn old_instances_are_replaced() {
    let mut aging = spec(2);
    aging.max_age = Some(Duration::from_secs(50));
    let mut bench = Bench::new(aging).warm(1);
    bench.at(50);
    assert_eq!(bench.counts(), (0, 1, 0, 1));
}

fn changed(max: u32) -> Input {
    Input::DefinePool(Box::new(PoolSpec {
        revision: 1,
        ..spec(max)
    }))
}

#[test]
fn a_changed_definition_replaces_what_is_free_a_few_at_a_time() {
    let mut bench = Bench::new(spec(20)).warm(8);
    bench.input(changed(20)).unwrap();
    assert_eq!(bench.counts(), (6, 2, 0, 2));
    for instance in 9..=16 {
        bench.ready(instance);
        let (ready, ..) = bench.counts();
        assert!(ready >= 6, "{ready} are ready when {instance} is");
    }
    assert_eq!(bench.counts(), (8, 0, 0, 8));
    let revisions = bench.allocator.instances().filter(|i| i.id.0 > 8);
    assert!(revisions.map(|i| i.revision).all(|revision| revision == 1));
}

#[test]
fn a_changed_definition_that_does_not_start_takes_no_more_away() {
    let mut bench = Bench::new(spec(20)).warm(8);
    bench.input(changed(20)).unwrap();
    bench.failed(9);
    bench.failed(10);
    bench.at(9);
    let (ready, ..) = bench.counts();
    assert_eq!(ready, 6, "the old ones serve on");
}

#[test]
fn a_changed_definition_lets_leases_run() {
    let mut bench = Bench::new(spec(6)).warm(2);
    let held = bench.ask(request("a")).unwrap();
    bench.input(changed(6)).unwrap();
    assert_eq!(bench.state_of(held.id).state, AllocationState::Granted);
    bench.release(&held).unwrap();
    assert_eq!(bench.counts().3, 1, "after use it goes");
}

#[test]
fn a_drained_pool_replaces_all_that_it_has() {
    let mut bench = Bench::new(spec(9)).warm(2);
    let held = bench.ask(request("a")).unwrap();
    bench.input(Input::DrainPool(pool("small"))).unwrap();
    assert_eq!(bench.counts(), (0, 2, 1, 2));
    assert_eq!(bench.state_of(held.id).state, AllocationState::Granted);
    let unknown = bench.input(Input::DrainPool(pool("none")));
    assert!(matches!(unknown, Err(AllocatorError::UnknownPool(_))));
}

#[test]
fn a_retired_pool_runs_out_and_is_gone() {
    let mut bench = Bench::new(spec(1)).warm(1);
    let held = bench.ask(request("a")).unwrap();
    let waiting = bench.ask(request("a")).unwrap();
    bench.input(Input::RetirePool(pool("small"))).unwrap();
    assert_eq!(bench.state_of(waiting.id).state, AllocationState::Rejected);
    assert!(matches!(
        bench.ask(request("a")),
        Err(AllocatorError::UnknownPool(_))
    ));
    bench.release(&held).unwrap();
    bench.gone(1);
    assert_eq!(bench.allocator.pools(), []);
}

#[test]
fn duplicate_and_unknown_reports_change_nothing() {
    let mut bench = Bench::new(spec(2)).warm(1);
    let before = bench.allocator.digest();
    bench.ready(1);
    assert_eq!(bench.allocator.digest(), before);
    let unknown = Input::Gone {
        instance: InstanceId(77),
    };
    assert_eq!(
        bench.input(unknown),
        Err(AllocatorError::UnknownInstance(InstanceId(77)))
    );
}

#[test]
fn recovery_gives_the_same_state_at_every_prefix() {
    let mut bench = Bench::new(PoolSpec {
        min: InstanceCount(1),
        ..spec(3)
    });
    let mut digests = vec![(bench.events.len(), bench.allocator.digest())];
    for step in 0..12_u64 {
        let got = bench
            .at(step as i64 * 7)
            .ask(request("a").idempotency_key(&*step.to_string()));
        bench
            .input(Input::Ready {
                instance: InstanceId(step + 1),
                address: "x".into(),
            })
            .ok();
        if let (0, Ok(got)) = (step % 3, &got) {
            let token = got.fencing_token.unwrap_or(FencingToken(0));
            bench.input(Input::Release { id: got.id, token }).ok();
        }
        bench
            .input(Input::Gone {
                instance: InstanceId(step / 2),
            })
            .ok();
        digests.push((bench.events.len(), bench.allocator.digest()));
    }
    for (length, digest) in digests {
        let prefix = bench.events[..length].iter().cloned();
        let recovered = Allocator::recover(AllocatorConfig::default(), prefix).unwrap();
        assert_eq!(recovered.digest(), digest, "after {length} events");
    }
}

#[test]
fn a_crash_between_two_events_is_finished_on_resume() {
    let mut bench = Bench::new(spec(2)).warm(1);
    let got = bench.ask(request("a")).unwrap();
    let before = bench.events.len();
    bench.release(&got).unwrap();
    let only_the_end = bench.events[..=before].iter().cloned();
    let mut recovered = Allocator::recover(AllocatorConfig::default(), only_the_end).unwrap();
    recovered.resume(bench.now);
    assert_eq!(recovered.audit(bench.now), []);
    let stopped = std::iter::from_fn(|| recovered.poll_effect()).any(|effect| {
        matches!(
            effect,
            Effect::Stop {
                instance: InstanceId(1),
                ..
            }
        )
    });
    assert!(stopped);
}

#[test]
fn an_instance_that_was_given_is_granted_and_tells_nothing_of_how_long_starts_take() {
    let mut bench = Bench::new(spec(3));
    let asked = bench.ask(request("a")).unwrap();
    assert_eq!(asked.state, AllocationState::Joined);
    let usual = bench.allocator.pools()[0].startup_slow;
    let given = Input::Given {
        instance: InstanceId(1),
        address: "10.9.9.9:80".into(),
    };
    bench.at(1).input(given).unwrap();
    let now = bench.state_of(asked.id);
    assert_eq!(now.state, AllocationState::Granted);
    let address = now.instance.unwrap().address;
    assert_eq!(address.as_deref(), Some("10.9.9.9:80"));
    assert_eq!(bench.allocator.pools()[0].startup_slow, usual);
}

#[test]
fn live_allocations_are_listed_at_once_however_many_have_ended() {
    let mut bench = Bench::new(recycling(Recycle::Reuse)).warm(1);
    bench.audited = false;
    for _ in 0..12_000 {
        let ended = bench.ask(request("a")).unwrap();
        bench.release(&ended).unwrap();
    }
    let held = bench.ask(request("a")).unwrap();
    let waiting = bench.ask(request("a")).unwrap();
    let listed = |states: Vec<AllocationState>, limit| {
        let filter = ListFilter {
            states,
            ..ListFilter::default()
        };
        let page = bench.allocator.list(&filter, None, limit, second(0));
        let ids: Vec<_> = page.allocations.iter().map(|one| one.id).collect();
        (ids, page.next)
    };
    let live = vec![AllocationState::Granted, AllocationState::Queued];
    assert_eq!(listed(live.clone(), 10), (vec![held.id, waiting.id], None));
    assert_eq!(listed(live, 1), (vec![held.id], Some(held.id)));
    // Those that have ended are not passed over where they are asked for.
    let (ids, next) = listed(vec![AllocationState::Released], 10);
    assert_eq!((ids.len(), next), (10, ids.last().copied()));
}
