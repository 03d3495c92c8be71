//! How long one decision takes in a large state: 100 pools of 10,000 instances with a million live
//! leases. Run with `--release`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a timing reads the clock, and stops when it cannot go on"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use foreshadow_allocator::{
    AdoptedPlan, AllocationRequest, Allocator, AllocatorConfig, Effect, Input, PoolPlan, PoolSpec,
    Reply, Target,
};
use foreshadow_types::{AllocationId, FencingToken, InstanceCount, PoolName, TenantId, Timestamp};

/// The program's own, as in the server.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POOLS: u32 = 100;
const WARM: u32 = 64;
const MEASURED: usize = 200_000;

struct Load {
    allocator: Allocator,
    now: Timestamp,
    leases: Vec<(AllocationId, FencingToken)>,
    requested: u64,
}

fn pool(index: u32) -> PoolName {
    PoolName::new(&format!("pool-{index:03}")).unwrap()
}

impl Load {
    fn new(instances: u32) -> Self {
        let config = AllocatorConfig {
            tenant_limit: u32::MAX,
            ..AllocatorConfig::default()
        };
        let mut load = Self {
            allocator: Allocator::new(config),
            now: Timestamp::from_millis(0),
            leases: Vec::new(),
            requested: 0,
        };
        for index in 0..POOLS {
            let mut spec = PoolSpec::new(pool(index));
            spec.max = InstanceCount(instances + WARM * 2);
            spec.lease_duration = Duration::from_hours(1);
            load.allocator
                .handle(Input::DefinePool(Box::new(spec)), load.now)
                .unwrap();
        }
        let pools = (0..POOLS).map(|index| PoolPlan {
            pool: pool(index),
            target: InstanceCount(WARM),
            reservations: Vec::new(),
            predicted_demand: Vec::new(),
        });
        let plan = AdoptedPlan {
            generation: 1,
            pools: pools.collect(),
        };
        load.allocator
            .handle(Input::AdoptPlan(Box::new(plan)), load.now)
            .unwrap();
        load.answer();
        load
    }

    /// The provider is as fast as can be: what is started is ready, what is stopped is gone.
    fn answer(&mut self) {
        while self.allocator.poll_event().is_some() {}
        while let Some(effect) = self.allocator.poll_effect() {
            let report = match effect {
                Effect::Start { instance, .. } => Input::Ready {
                    instance,
                    address: "127.0.0.1:1".into(),
                },
                Effect::Stop { instance, .. } => Input::Gone { instance },
                _ => continue,
            };
            self.allocator.handle(report, self.now).unwrap();
            while self.allocator.poll_event().is_some() {}
        }
    }

    fn request(&mut self) -> Input {
        self.requested += 1;
        let number = self.requested;
        let target = Target::Pool(pool((number % u64::from(POOLS)) as u32));
        let tenant = TenantId::new(&format!("tenant-{}", number % 1_000)).unwrap();
        let request = AllocationRequest::builder(tenant, target)
            .idempotency_key(&*format!("request-{number}"))
            .build();
        Input::Allocate(Arc::new(request.unwrap()))
    }

    fn allocate(&mut self) -> Duration {
        let input = self.request();
        let start = Instant::now();
        let reply = self.allocator.handle(input, self.now);
        let took = start.elapsed();
        match reply.unwrap() {
            Reply::Allocation(got) => self.leases.push((got.id, got.fencing_token.unwrap())),
            Reply::Done => unreachable!("a request is answered with its allocation"),
        }
        took
    }

    fn release(&mut self, lease: usize) -> Duration {
        let (id, token) = self.leases.swap_remove(lease);
        let start = Instant::now();
        self.allocator
            .handle(Input::Release { id, token }, self.now)
            .unwrap();
        start.elapsed()
    }
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |quantile: f64| times[(quantile * (times.len() - 1) as f64) as usize];
    println!(
        "{name}: p50 {:?}  p99 {:?}  p99.9 {:?}  max {:?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn main() {
    let instances = std::env::args()
        .nth(1)
        .map_or(10_000, |text| text.parse().unwrap());
    let start = Instant::now();
    let mut load = Load::new(instances);
    for number in 0..POOLS * instances {
        load.now = Timestamp::from_millis(i64::from(number) / 100);
        load.allocate();
        load.answer();
    }
    println!(
        "{} live leases after {:?}",
        load.leases.len(),
        start.elapsed()
    );
    let (mut grants, mut releases) = (Vec::new(), Vec::new());
    for number in 0..MEASURED {
        load.now = load.now + Duration::from_millis(u64::from(number % 10 == 0));
        let lease = number.wrapping_mul(7_919) % load.leases.len();
        releases.push(load.release(lease));
        load.answer();
        grants.push(load.allocate());
        load.answer();
    }
    print("allocate", grants);
    print("release", releases);
    let (start, cpu) = (Instant::now(), on_cpu());
    let snapshot = load.allocator.snapshot();
    println!(
        "snapshot of {} events: {:?}, {:?} on a core",
        snapshot.len(),
        start.elapsed(),
        on_cpu().saturating_sub(cpu)
    );
    let digest = load.allocator.digest();
    drop(load);
    let (start, cpu) = (Instant::now(), on_cpu());
    let recovered = Allocator::recover(AllocatorConfig::default(), snapshot).unwrap();
    println!(
        "recovery: {:?}, {:?} on a core",
        start.elapsed(),
        on_cpu().saturating_sub(cpu)
    );
    assert_eq!(recovered.digest(), digest);
}

/// How long this thread has run: what a busy machine adds to the wall clock is not in it.
fn on_cpu() -> Duration {
    let numbers = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = numbers.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
