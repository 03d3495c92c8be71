//! The rules of sharing and of reuse, against the allocator that they are taken from.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use foreshadow_allocator::{
    AdoptedPlan, Allocation, AllocationRequest, AllocationState, Allocator, AllocatorConfig,
    Effect, Input, PoolPlan, PoolSpec, PoolStatus, Recycle, Reply, Served, Target,
};
use foreshadow_planner::Outcome::{self, Hit, Join, Miss};
use foreshadow_types::{
    AllocationId, FencingToken, InstanceCount, InstanceId, PoolName, Shape, TenantId, Timestamp,
    Vcpus,
};
use proptest::prelude::*;

use super::{
    Script, setting,
    sharing::{Request, requests, requests_within, trace},
};
use crate::backtest::{NoProbe, Tally, reuse::replay_reused, simulate};

/// What happens by itself; the order is that within one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Ready(InstanceId),
    Leaves(AllocationId, FencingToken),
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
struct Fate {
    outcome: Outcome,
    merged: bool,
    waited: i64,
}

/// The allocator with one pool whose instances take `startup` seconds to start.
struct Driven {
    allocator: Allocator,
    spec: PoolSpec,
    startup: i64,
    generation: u64,
    turns: BinaryHeap<Reverse<(i64, Turn)>>,
    /// (request, when it came, how long it holds) of those that wait.
    waiting: BTreeMap<AllocationId, (usize, i64, i64)>,
    fates: Vec<Fate>,
    starts: u64,
}

impl Driven {
    fn new(share: u32, recycle: Recycle, startup: u64) -> Self {
        let mut spec = PoolSpec::new(PoolName::new("p").unwrap());
        spec.recycle = recycle;
        spec.shares = share;
        // The fullest is the one with the least of its shape left.
        spec.shape = Shape {
            vcpus: Vcpus::new(f64::from(share)).unwrap(),
            ..Shape::default()
        };
        spec.max = InstanceCount(1_000);
        spec.max_wait = Duration::from_hours(1);
        spec.lease_duration = Duration::from_hours(1);
        let mut driven = Self {
            allocator: Allocator::new(AllocatorConfig::default()),
            spec,
            startup: startup as i64,
            generation: 0,
            turns: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            fates: Vec::new(),
            starts: 0,
        };
        driven.bound(0, 1_000);
        driven
    }

    fn status(&self) -> PoolStatus {
        self.allocator.pool_status(&self.spec.name).unwrap()
    }

    fn handle(&mut self, input: Input, now: i64) -> Reply {
        let at = Timestamp::from_millis(now * 1_000);
        let reply = self.allocator.handle(input, at).unwrap();
        while self.allocator.poll_event().is_some() {}
        while let Some(effect) = self.allocator.poll_effect() {
            self.effect(&effect, now);
        }
        reply
    }

    fn effect(&mut self, effect: &Effect, now: i64) {
        match *effect {
            Effect::Start { instance, .. } => {
                self.starts += 1;
                let turn = (now + self.startup, Turn::Ready(instance));
                self.turns.push(Reverse(turn));
            }
            Effect::Stop { instance, .. } => {
                self.turns.retain(|turn| turn.0.1 != Turn::Ready(instance));
                self.handle(Input::Gone { instance }, now);
            }
            Effect::Notify { allocation } => {
                if let Some(waits) = self.waiting.remove(&allocation) {
                    self.granted(allocation, waits, now);
                }
            }
            Effect::Reset { .. }
            | Effect::Hold { .. }
            | Effect::Thaw { .. }
            | Effect::Verify { .. } => panic!("{effect:?}"),
        }
    }

    fn granted(&mut self, id: AllocationId, (request, came, hold): (usize, i64, i64), now: i64) {
        let at = Timestamp::from_millis(now * 1_000);
        let granted = self.allocator.allocation(id, at).unwrap();
        assert_eq!(granted.state, AllocationState::Granted);
        self.fates[request].waited = now - came;
        self.leaves(&granted, now + hold);
    }

    fn leaves(&mut self, granted: &Allocation, at: i64) {
        let turn = Turn::Leaves(granted.id, granted.fencing_token.unwrap());
        self.turns.push(Reverse((at, turn)));
    }

    /// Lets everything up to and at `now` happen.
    fn pass(&mut self, now: i64) {
        while let Some(&Reverse((at, turn))) = self.turns.peek().filter(|turn| turn.0.0 <= now) {
            self.turns.pop();
            let input = match turn {
                Turn::Ready(instance) => Input::Ready {
                    instance,
                    address: "a".into(),
                },
                Turn::Leaves(id, token) => Input::Release { id, token },
            };
            self.handle(input, at);
        }
    }

    fn tick(&mut self, now: i64, target: u32) {
        self.pass(now);
        self.plan(now, target);
    }

    fn plan(&mut self, now: i64, target: u32) {
        self.generation += 1;
        let plan = AdoptedPlan {
            generation: self.generation,
            pools: vec![PoolPlan {
                pool: self.spec.name.clone(),
                target: InstanceCount(target),
                reservations: Vec::new(),
                predicted_demand: Vec::new(),
            }],
        };
        self.handle(Input::AdoptPlan(Box::new(plan)), now);
    }

    fn bound(&mut self, now: i64, max: u32) {
        self.spec.max = InstanceCount(max);
        self.handle(Input::DefinePool(Box::new(self.spec.clone())), now);
    }

    fn request(&mut self, now: i64, hold: u64, key: u64) {
        self.pass(now);
        let target = Target::Pool(self.spec.name.clone());
        let key = (key > 0).then(|| key.to_string());
        let request = AllocationRequest::builder(TenantId::new("t").unwrap(), target);
        let request = request.merge_key(key.as_deref()).build().unwrap();
        let Reply::Allocation(got) = self.handle(Input::Allocate(Arc::new(request)), now) else {
            panic!("a request is answered with its allocation");
        };
        let fate = Fate {
            outcome: match got.served {
                Served::Ready | Served::Merged => Hit,
                Served::Starting => Join,
                Served::Started => Miss,
                Served::Nothing => panic!("{got:?}"),
            },
            merged: got.merged,
            waited: 0,
        };
        if got.state == AllocationState::Granted {
            self.leaves(&got, now + hold as i64);
        } else {
            let waits = (self.fates.len(), now, hold as i64);
            self.waiting.insert(got.id, waits);
        }
        self.fates.push(fate);
    }

    /// As [`request`](Self::request), where instances are neither started ahead nor stopped: those that
    /// are free are wanted, and there may be one more where none is.
    fn request_of_used(&mut self, now: i64, hold: u64, key: u64) {
        self.pass(now);
        if self.status().ready == 0 {
            self.plan(now, 0);
            self.bound(now, self.status().total + 1);
        }
        self.request(now, hold, key);
        let total = self.status().total;
        self.bound(now, total);
        self.plan(now, total);
    }

    /// Waits of those that are no hits, once all are served.
    fn waits_ms(&mut self) -> Vec<u32> {
        self.pass(i64::MAX / 2_000);
        assert!(self.waiting.is_empty());
        let waited = self.fates.iter().filter(|fate| fate.outcome != Hit);
        waited.map(|fate| fate.waited as u32 * 1_000).collect()
    }

    fn count(&self, counts: impl Fn(&Fate) -> bool) -> u64 {
        self.fates.iter().filter(|&fate| counts(fate)).count() as u64
    }

    fn merged(&self) -> u64 {
        self.count(|fate| fate.merged && fate.outcome == Hit)
    }
}

/// The allocator follows `targets`, one a tick.
fn follow(driven: &mut Driven, requests: &[Request], targets: &[u32], tick: u64) {
    let (first, last) = (requests[0].0, requests[requests.len() - 1].0);
    let mut targets = targets
        .iter()
        .chain(std::iter::repeat(&targets[targets.len() - 1]));
    let mut requests = requests.iter().peekable();
    for at in (first..=last).step_by(tick as usize) {
        driven.tick(at, *targets.next().unwrap());
        while let Some(&(now, hold, key)) = requests.next_if(|request| request.0 < at + tick as i64)
        {
            driven.request(now, hold, key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn requests_share_in_the_replay_as_they_do_in_the_allocator(
        requests in requests(),
        targets in prop::collection::vec(0_u32..5, 1..20),
        share in 1_u32..5,
        tick in 1_u64..40,
        startup in 0_u64..60,
    ) {
        let mut driven = Driven::new(share, Recycle::Delete, startup);
        follow(&mut driven, &requests, &targets, tick);
        let trace = trace(share, &requests);
        let mut script = Script::new(&targets);
        let setting = setting(&trace, requests[0].0, tick, startup);
        let tally = simulate(&trace.pools()[0], &setting, &mut script, &mut NoProbe);
        let outcomes: Vec<Outcome> = driven.fates.iter().map(|fate| fate.outcome).collect();
        prop_assert_eq!(&script.outcomes, &outcomes);
        prop_assert_eq!(tally.merged(), driven.merged());
        prop_assert_eq!(tally.starts(), driven.starts);
        prop_assert_eq!(tally.waits_ms(), driven.waits_ms());
    }

    #[test]
    fn demand_is_what_the_allocator_gives_away_where_nobody_waits(
        requests in requests(),
        share in 1_u32..5,
    ) {
        let mut driven = Driven::new(share, Recycle::Delete, 0);
        driven.tick(requests[0].0, 1);
        for &(now, hold, key) in &requests {
            driven.request(now, hold, key);
        }
        prop_assert_eq!(driven.count(|fate| fate.outcome != Hit), 0);
        let trace = trace(share, &requests);
        let pool = &trace.pools()[0];
        let merged: Vec<bool> = (0..pool.len()).map(|index| pool.is_merged(index)).collect();
        let expected: Vec<bool> = driven.fates.iter().map(|fate| fate.merged).collect();
        prop_assert_eq!(merged, expected);
    }

    /// Within a minute, so that no instance is dropped. By key alone: which of two instances that are
    /// equally full has room is told by their ages in the allocator, and a replay knows of none.
    #[test]
    fn instances_are_used_again_in_the_replay_as_they_are_by_the_allocator(
        requests in requests_within(60),
        startup in 0_u64..20,
    ) {
        let mut driven = Driven::new(1, Recycle::Reuse, startup);
        for &(now, hold, key) in &requests {
            driven.request_of_used(now, hold, key);
        }
        let trace = trace(1, &requests);
        let setting = setting(&trace, requests[0].0, 1, startup);
        let tally = Tally::keeping_waits(&setting);
        let tally = replay_reused(&trace.pools()[0], &setting, 0.99, tally);
        prop_assert_eq!(tally.hits(), driven.count(|fate| fate.outcome == Hit));
        prop_assert_eq!(tally.joins(), driven.count(|fate| fate.outcome == Join));
        prop_assert_eq!(tally.merged(), driven.merged());
        prop_assert_eq!(tally.starts(), driven.starts);
        prop_assert_eq!(tally.waits_ms(), driven.waits_ms());
    }
}
