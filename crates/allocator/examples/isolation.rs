//! How much a tenant at ten times its quota moves another's latency. Two tenants ask one allocator,
//! which serves in order: each decision is timed, and a request waits until those before it are
//! decided. Run with `--release`.

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
    AllocationRequest, Allocator, AllocatorConfig, Effect, Input, PoolSpec, Recycle, Reply,
    RequestRate, Target, TenantQuota,
};
use foreshadow_types::{InstanceCount, PoolName, TenantId, Timestamp};

/// The program's own, as in the server.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the noisy tenant may ask in a second.
const QUOTA: u32 = 10_000;
/// What the quiet tenant asks in a second.
const QUIET: u64 = 5_000;
const SECONDS: u64 = 4;
const RUNS: usize = 5;

fn pool() -> PoolName {
    PoolName::new("shared").unwrap()
}

struct Server {
    allocator: Allocator,
    now: Timestamp,
    /// When all that was asked is decided, in nanoseconds.
    free_at_ns: u64,
}

impl Server {
    fn new() -> Self {
        let allocator = Allocator::new(AllocatorConfig::default());
        let now = Timestamp::from_millis(0);
        let mut server = Self {
            allocator,
            now,
            free_at_ns: 0,
        };
        let mut spec = PoolSpec::new(pool());
        (spec.min, spec.max) = (InstanceCount(64), InstanceCount(128));
        spec.recycle = Recycle::Reuse;
        server.tell(Input::DefinePool(Box::new(spec)));
        let rate = RequestRate {
            per_second: QUOTA,
            burst: 100,
        };
        let quota = TenantQuota {
            rate: Some(rate),
            ..TenantQuota::default()
        };
        let tenant = TenantId::new("noisy").unwrap();
        server.tell(Input::LimitTenant { tenant, quota });
        server
    }

    fn tell(&mut self, input: Input) {
        self.allocator.handle(input, self.now).unwrap();
        while self.allocator.poll_event().is_some() {}
        while let Some(effect) = self.allocator.poll_effect() {
            if let Effect::Start { instance, .. } = effect {
                let address = "127.0.0.1:1".into();
                self.tell(Input::Ready { instance, address });
            }
        }
    }

    /// Asks at a time and releases at once; how long the answer took, in nanoseconds.
    fn ask(&mut self, tenant: &str, at_ns: u64) -> u64 {
        self.now = Timestamp::from_millis((at_ns / 1_000_000) as i64);
        let tenant = TenantId::new(tenant).unwrap();
        let request =
            AllocationRequest::builder(tenant, Target::Pool(pool())).max_wait(Duration::ZERO);
        let request = Input::Allocate(Arc::new(request.build().unwrap()));
        let start = Instant::now();
        let reply = self.allocator.handle(request, self.now);
        let took = start.elapsed().as_nanos() as u64;
        self.free_at_ns = self.free_at_ns.max(at_ns) + took;
        let answered_ns = self.free_at_ns - at_ns;
        if let Ok(Reply::Allocation(got)) = reply {
            let (id, token) = (got.id, got.fencing_token.unwrap());
            self.tell(Input::Release { id, token });
        }
        answered_ns
    }
}

/// The quiet tenant's p99 in nanoseconds, while the other asks so often.
fn quiet_p99(noisy_per_second: u64) -> u64 {
    let mut server = Server::new();
    let mut answers = Vec::new();
    let mut noisy = 0;
    for quiet in 0..QUIET * SECONDS {
        // Off the beat of the other, by a part that wanders.
        let at_ns = quiet * 1_000_000_000 / QUIET + quiet * 7_919 % 97_000;
        while noisy * 1_000_000_000 / noisy_per_second <= at_ns {
            server.ask("noisy", noisy * 1_000_000_000 / noisy_per_second);
            noisy += 1;
        }
        answers.push(server.ask("quiet", at_ns));
    }
    answers.sort_unstable();
    answers[answers.len() * 99 / 100]
}

fn main() {
    let mut ratios = Vec::new();
    for _ in 0..RUNS {
        let at_quota = quiet_p99(u64::from(QUOTA));
        let at_ten_times = quiet_p99(u64::from(QUOTA) * 10);
        ratios.push(at_ten_times as f64 / at_quota as f64);
        println!("p99 {at_quota} ns with the other at its quota, {at_ten_times} ns at ten times");
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio of {RUNS} runs: {:.2}", ratios[RUNS / 2]);
}
