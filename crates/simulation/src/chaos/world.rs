//! One run: time goes on, things happen, promises are checked.

use std::time::Duration;

use foreshadow_allocator::{
    AdoptedPlan, AllocatorConfig, Input, Invariant, PoolPlan, TenantQuota, Violation,
};
use foreshadow_types::{InstanceCount, Timestamp};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::{
    action::{Call, Workload, pools, tenants},
    bug::Bug,
    driver::{Driver, Ending},
    faults::{Fault, FaultCounts},
    model::Model,
    provider::Provider,
};

/// Calls that are made durable together at the most.
const LARGEST_GROUP: usize = 6;
/// Steps between two checks of the core's own audit, which is slow.
const STEPS_PER_AUDIT: u64 = 25;
/// Rounds within which all must have come to rest at the end.
const ROUNDS_TO_REST: usize = 2_000;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which history.
    pub seed: u64,
    /// How many calls.
    pub steps: u64,
    /// A bug to plant in the core.
    pub bug: Option<Bug>,
    /// Whether to write down all that is said and done.
    pub transcript: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first promises broken, with the step at which it was seen; empty if all were kept.
    pub violations: Vec<(u64, Violation)>,
    /// The faults that occurred.
    pub faults: FaultCounts,
    /// All that was said and done, if asked for.
    pub transcript: String,
}

/// Runs one history, up to the first promise broken.
pub fn run(options: &Options) -> Outcome {
    let mut world = World::new(options);
    let mut violations = Vec::new();
    for step in 0..=options.steps {
        if step < options.steps {
            world.step(step);
        } else {
            world.come_to_rest();
        }
        violations.extend(
            world
                .model
                .violations
                .drain(..)
                .map(|violation| (step, violation)),
        );
        if !violations.is_empty() {
            break;
        }
    }
    let transcript = world.driver.transcript.unwrap_or_default();
    Outcome {
        violations,
        faults: world.faults,
        transcript,
    }
}

struct World {
    rng: Pcg64,
    now: Timestamp,
    driver: Driver,
    workload: Workload,
    provider: Provider,
    model: Model,
    faults: FaultCounts,
}

impl World {
    fn new(options: &Options) -> Self {
        // One stream for each purpose, so that a change in one leaves the others as they are.
        let stream = |purpose: u64| Pcg64::seed_from_u64(options.seed * 31 + purpose);
        let config = AllocatorConfig {
            tenant_limit: 30,
            ..AllocatorConfig::default()
        };
        let mut world = Self {
            rng: stream(0),
            now: Timestamp::from_millis(1_000_000_000),
            model: Model {
                idempotency_window: config.idempotency_window,
                ..Model::default()
            },
            driver: Driver::new(config, options.bug, options.transcript),
            workload: Workload::new(stream(1)),
            provider: Provider::new(stream(2)),
            faults: FaultCounts::default(),
        };
        for spec in pools().into_iter().flatten() {
            world.call(Input::DefinePool(Box::new(spec)));
        }
        world.flush(Ending::Durable);
        world
    }

    fn step(&mut self, step: u64) {
        self.pass_time();
        self.provider.wear(self.now, &mut self.faults);
        self.take_reports();
        self.driver.keep_deadlines(&mut self.model, self.now);
        let in_force = self.driver.core.allocator().plan_generation();
        let next = self
            .workload
            .next(&self.model, in_force, self.now, &mut self.faults);
        if let Some(call) = next {
            self.driver.call(call, &mut self.model, self.now);
        }
        if self.driver.unanswered() >= LARGEST_GROUP || self.rng.random_bool(0.4) {
            let ending = self.ending();
            self.flush(ending);
            self.model.check(&self.driver.core, self.now);
            if self.rng.random_bool(0.01) {
                self.driver.snapshot(&mut self.faults);
            }
        }
        if step.is_multiple_of(STEPS_PER_AUDIT) {
            let broken = self.driver.core.allocator().audit(Timestamp::MIN);
            self.model.violations.extend(broken);
        }
    }

    fn ending(&mut self) -> Ending {
        match self.rng.random_range(0..100) {
            0..2 => Ending::CrashBefore,
            2..4 => Ending::CrashAfter,
            _ => Ending::Durable,
        }
    }

    fn pass_time(&mut self) {
        match self.rng.random_range(0..1_000) {
            0..4 => {
                self.faults.count(Fault::ClockForward);
                let hours = self.rng.random_range(1..40);
                self.now = self.now + Duration::from_mins(hours * 7);
            }
            4..8 => {
                self.faults.count(Fault::ClockBackward);
                self.now = self.now - Duration::from_secs(self.rng.random_range(1..300));
            }
            _ => self.now = self.now + Duration::from_millis(self.rng.random_range(0..2_500)),
        }
        self.model.latest = self.model.latest.max(self.now);
    }

    fn take_reports(&mut self) {
        while let Some(report) = self.provider.deliver(self.now) {
            let (model, provider) = (&mut self.model, &mut self.provider);
            self.driver
                .report(report, model, provider, self.now, &mut self.faults);
        }
    }

    fn call(&mut self, input: Input) {
        self.driver.call(
            Call {
                input,
                stale: false,
            },
            &mut self.model,
            self.now,
        );
    }

    fn flush(&mut self, ending: Ending) {
        let (model, provider) = (&mut self.model, &mut self.provider);
        self.driver
            .flush(ending, model, provider, self.now, &mut self.faults);
    }

    /// Nothing more is asked for and nothing fails any more: all leases end, all instances stop,
    /// nothing is left over.
    fn come_to_rest(&mut self) {
        self.provider.calm = true;
        self.flush(Ending::Durable);
        for mut spec in self.model.specs.clone().into_values() {
            spec.min = InstanceCount(0);
            self.call(Input::DefinePool(Box::new(spec)));
        }
        for tenant in tenants() {
            let quota = TenantQuota::default();
            self.call(Input::LimitTenant { tenant, quota });
        }
        let generation = self.driver.core.allocator().plan_generation() + 1;
        let pools = self.model.specs.keys().map(|pool| PoolPlan {
            pool: pool.clone(),
            target: InstanceCount(0),
            reservations: Vec::new(),
            predicted_demand: Vec::new(),
        });
        let plan = AdoptedPlan {
            generation,
            pools: pools.collect(),
        };
        self.call(Input::AdoptPlan(Box::new(plan)));
        for _ in 0..ROUNDS_TO_REST {
            self.flush(Ending::Durable);
            let due = self.driver.core.next_deadline();
            let Some(next) = [due, self.provider.next_arrival()]
                .into_iter()
                .flatten()
                .min()
            else {
                break;
            };
            self.now = self.now.max(next);
            self.model.latest = self.model.latest.max(self.now);
            self.take_reports();
            self.driver.keep_deadlines(&mut self.model, self.now);
        }
        self.model.check(&self.driver.core, self.now);
        let left = self.driver.core.allocator().instances().count();
        let running = self.provider.alive().len();
        if left + running > 0 {
            let what = format!("at rest, {left} instances are known and {running} run");
            self.model.breach(Invariant::CountsConserved, what);
        }
        self.model
            .violations
            .extend(self.driver.core.allocator().audit(self.now));
    }
}
