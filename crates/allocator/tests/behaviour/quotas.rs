//! What a tenant may take, and that the others do not feel it.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_allocator::{
    AllocationState, AllocatorConfig, AllocatorError, Effect, Input, PriorityWeights, RequestRate,
    TenantQuota, WarmQuota,
};
use foreshadow_types::{AllocationId, EntityId, InstanceId, TenantId, Timestamp};

use crate::bench::{Bench, pool, request, spec, user};

fn quota(bench: &mut Bench, tenant: &str, quota: TenantQuota) {
    let tenant = TenantId::new(tenant).unwrap();
    bench.input(Input::LimitTenant { tenant, quota }).unwrap();
}

fn rate(per_second: u32, burst: u32) -> TenantQuota {
    TenantQuota {
        rate: Some(RequestRate { per_second, burst }),
        ..TenantQuota::default()
    }
}

#[test]
fn a_tenant_has_a_limit() {
    let mut bench = Bench::new(spec(9));
    let one = TenantQuota {
        live: Some(1),
        ..TenantQuota::default()
    };
    quota(&mut bench, "a", one);
    let first = bench.ask(request("a")).unwrap();
    let refused = bench.ask(request("a")).unwrap_err();
    assert!(matches!(
        refused,
        AllocatorError::TenantLimit { limit: 1, .. }
    ));
    bench.release(&first).unwrap();
    assert!(bench.ask(request("a")).is_ok());
}

#[test]
fn a_tenant_that_asks_too_often_is_told_when_it_may_ask_again() {
    let mut bench = Bench::new(spec(9));
    quota(&mut bench, "a", rate(2, 1));
    assert!(bench.ask(request("a")).is_ok());
    let refused = bench.ask(request("a")).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(500)));
    assert!(bench.ask(request("b")).is_ok(), "the others may");
    bench.now = Timestamp::from_millis(499);
    assert!(bench.ask(request("a")).is_err());
    bench.now = Timestamp::from_millis(500);
    assert!(bench.ask(request("a")).is_ok());
    quota(&mut bench, "a", TenantQuota::default());
    assert!(bench.ask(request("a")).is_ok(), "the quota has gone");
}

#[test]
fn a_higher_rate_is_in_force_at_once() {
    let mut bench = Bench::new(spec(9));
    quota(&mut bench, "a", rate(1, 3));
    for _ in 0..3 {
        assert!(bench.ask(request("a")).is_ok());
    }
    assert!(bench.ask(request("a")).is_err(), "the burst is used up");
    quota(&mut bench, "a", rate(100, 1));
    assert!(bench.ask(request("a")).is_ok());
}

#[test]
fn a_quota_that_makes_no_sense_is_refused() {
    let mut bench = Bench::new(spec(1));
    let refused = bench.input(Input::LimitTenant {
        tenant: TenantId::new("a").unwrap(),
        quota: rate(0, 1),
    });
    assert!(matches!(refused, Err(AllocatorError::Quota(_))));
}

#[test]
fn the_queue_ranks_by_the_configured_weights() {
    let config = AllocatorConfig {
        priorities: PriorityWeights {
            stated: 10,
            usage: 1,
            ..PriorityWeights::default()
        },
        ..AllocatorConfig::default()
    };
    let mut bench = Bench::with_config(config, spec(1)).warm(1);
    let heavy = BTreeMap::from([(EntityId::new("heavy").unwrap(), 100)]);
    bench.input(Input::PredictUsage(heavy.into())).unwrap();
    bench.ask(request("a")).unwrap();
    let usual = bench.ask(request("a")).unwrap();
    let stated = bench.ask(request("a").priority(9)).unwrap();
    let used = bench.ask(request("a").user(user("heavy"))).unwrap();
    let place = |bench: &Bench, id| bench.state_of(id).queue_position;
    assert_eq!(place(&bench, used.id), Some(1));
    assert_eq!(place(&bench, stated.id), Some(2));
    assert_eq!(place(&bench, usual.id), Some(3));
}

fn warm(floor: u32, cap: Option<u32>) -> TenantQuota {
    TenantQuota {
        warm: BTreeMap::from([(pool("small"), WarmQuota { floor, cap })]),
        ..TenantQuota::default()
    }
}

#[test]
fn a_floor_keeps_warm_instances_for_its_tenant() {
    let mut bench = Bench::new(spec(3)).warm(2);
    quota(&mut bench, "a", warm(1, None));
    let now = Some(Duration::ZERO);
    assert!(bench.ask(request("b").max_wait(now)).is_ok());
    let refused = bench.ask(request("b").max_wait(now)).unwrap_err();
    assert!(matches!(refused, AllocatorError::Exhausted { .. }));
    assert!(bench.ask(request("a").max_wait(now)).unwrap().warm);
}

#[test]
fn a_floor_is_warm_whatever_the_plan_says_and_its_room_is_not_taken() {
    let mut bench = Bench::new(spec(2));
    quota(&mut bench, "a", warm(1, None));
    assert_eq!(bench.counts(), (0, 1, 0, 0), "one is started for it");
    let joined = bench.ask(request("b")).unwrap();
    assert_eq!(joined.state, AllocationState::Joined, "with one of its own");
    let queued = bench.ask(request("b")).unwrap();
    assert_eq!(queued.state, AllocationState::Queued);
    let own = bench.ask(request("a")).unwrap();
    assert_eq!(own.state, AllocationState::Joined, "past who waits");
    quota(&mut bench, "a", TenantQuota::default());
    assert_eq!(bench.state_of(queued.id).state, AllocationState::Queued);
}

#[test]
fn a_floor_counts_what_its_tenant_holds() {
    let mut bench = Bench::new(spec(2)).warm(2);
    quota(&mut bench, "a", warm(1, None));
    assert!(bench.ask(request("a")).unwrap().warm);
    assert!(
        bench.ask(request("b")).unwrap().warm,
        "nothing is kept any more"
    );
}

#[test]
fn a_tenant_holds_no_more_than_its_cap_and_shares_what_it_holds() {
    let mut bench = Bench::new(spec(4)).warm(4);
    quota(&mut bench, "a", warm(0, Some(1)));
    let first = bench.ask(request("a").merge_key("m")).unwrap();
    let refused = bench.ask(request("a")).unwrap_err();
    assert!(matches!(refused, AllocatorError::WarmCap { cap: 1, .. }));
    assert!(refused.retry_after().is_some());
    let same = bench.ask(request("a").merge_key("m")).unwrap();
    assert!(same.merged, "no instance more");
    assert!(bench.ask(request("b")).is_ok(), "the others may");
    bench.release(&first).unwrap();
    bench.release(&same).unwrap();
    assert!(bench.ask(request("a")).is_ok());
}

#[test]
fn a_cap_that_is_lowered_takes_nothing_away_and_holds_back_who_waits() {
    let mut bench = Bench::new(spec(2)).warm(2);
    let held: Vec<_> = ["a", "b"]
        .map(|who| bench.ask(request(who)).unwrap())
        .into();
    let waits = bench.ask(request("a")).unwrap();
    let other = bench.ask(request("c")).unwrap();
    quota(&mut bench, "a", warm(0, Some(1)));
    assert_eq!(bench.state_of(held[0].id).state, AllocationState::Granted);
    bench.release(&held[1]).unwrap();
    bench.gone(2);
    assert_eq!(bench.state_of(waits.id).state, AllocationState::Queued);
    assert_eq!(bench.state_of(other.id).state, AllocationState::Joined);
    bench.release(&held[0]).unwrap();
    bench.gone(1);
    assert_eq!(bench.state_of(waits.id).state, AllocationState::Joined);
}

#[test]
fn a_floor_above_its_cap_or_in_no_pool_is_refused() {
    let mut bench = Bench::new(spec(2));
    let mut limit = |quota| {
        let tenant = TenantId::new("a").unwrap();
        bench.input(Input::LimitTenant { tenant, quota })
    };
    let refused = limit(warm(3, Some(2)));
    assert!(matches!(refused, Err(AllocatorError::Quota(_))));
    let mut elsewhere = warm(1, None);
    elsewhere.warm = BTreeMap::from([(pool("nowhere"), WarmQuota::default())]);
    let refused = limit(elsewhere);
    assert!(matches!(refused, Err(AllocatorError::UnknownPool(_))));
}

/// Instances take this long to start.
const START_MS: i64 = 800;
/// Leases are given back after this long.
const LEASE_MS: i64 = 700;

/// A provider, two tenants, and a clock in steps of 10 ms.
struct Traffic {
    bench: Bench,
    starting: Vec<(i64, InstanceId)>,
    held: Vec<(i64, AllocationId)>,
    waiting: Vec<(i64, AllocationId)>,
    waits_ms: Vec<i64>,
}

impl Traffic {
    /// The waits of tenant `a` in a minute, while `b` asks so many times a second.
    fn waits(b_per_second: i64) -> Vec<i64> {
        let mut bench = Bench::new(spec(40));
        quota(&mut bench, "b", rate(10, 2));
        bench.plan(4, &[], &[]);
        bench.audited = false;
        let mut traffic = Self {
            bench,
            starting: Vec::new(),
            held: Vec::new(),
            waiting: Vec::new(),
            waits_ms: Vec::new(),
        };
        for ms in (0..60_000).step_by(10) {
            traffic.step(ms);
            if ms % 130 == 0 {
                traffic.ask("a", ms);
            }
            if ms % (1_000 / b_per_second) == 0 {
                traffic.ask("b", ms);
            }
        }
        traffic.waits_ms
    }

    fn ask(&mut self, tenant: &str, ms: i64) {
        let Ok(asked) = self.bench.ask(request(tenant)) else {
            return;
        };
        match asked.state {
            AllocationState::Granted => self.granted(tenant == "a", ms, ms, asked.id),
            _ if tenant == "a" => self.waiting.push((ms, asked.id)),
            _ => self.held.push((ms + START_MS + LEASE_MS, asked.id)),
        }
    }

    fn granted(&mut self, counts: bool, asked_ms: i64, ms: i64, id: AllocationId) {
        if counts {
            self.waits_ms.push(ms - asked_ms);
        }
        self.held.push((ms + LEASE_MS, id));
    }

    fn step(&mut self, ms: i64) {
        self.bench.now = Timestamp::from_millis(ms);
        for effect in std::mem::take(&mut self.bench.effects) {
            match effect {
                Effect::Start { instance, .. } => self.starting.push((ms + START_MS, instance)),
                Effect::Stop { instance, .. } => self.bench.gone(instance.0),
                _ => {}
            }
        }
        let (up, starting) = std::mem::take(&mut self.starting)
            .into_iter()
            .partition(|s| s.0 <= ms);
        self.starting = starting;
        let up: Vec<(i64, InstanceId)> = up;
        for (_, instance) in up {
            self.bench.ready(instance.0);
        }
        for (due, id) in std::mem::take(&mut self.held) {
            let allocation = self.bench.state_of(id);
            if due <= ms && allocation.state == AllocationState::Granted {
                self.bench.release(&allocation).unwrap();
            } else {
                self.held.push((due, id));
            }
        }
        for (asked_ms, id) in std::mem::take(&mut self.waiting) {
            if self.bench.state_of(id).state == AllocationState::Granted {
                self.granted(true, asked_ms, ms, id);
            } else {
                self.waiting.push((asked_ms, id));
            }
        }
    }
}

#[test]
fn a_tenant_at_ten_times_its_quota_moves_the_others_waits_by_less_than_a_fifth() {
    let p99 = |mut waits: Vec<i64>| {
        waits.sort_unstable();
        assert!(waits.len() > 400, "{} were served", waits.len());
        waits[waits.len() * 99 / 100]
    };
    let at_quota = p99(Traffic::waits(10));
    let at_ten_times = p99(Traffic::waits(100));
    assert!(
        at_quota > 0,
        "the pool is busy enough to make requests wait"
    );
    assert!(
        5 * (at_ten_times - at_quota).abs() < at_quota,
        "p99 {at_quota} ms, and {at_ten_times} ms under ten times the quota"
    );
}
