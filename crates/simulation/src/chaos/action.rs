//! The workload: what callers, planner and administrators do next.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foreshadow_allocator::{
    AdoptedPlan, AllocationRequest, AllocationState, HoldMode, Input, PoolPlan, PoolSpec, Recycle,
    RequestRate, Reservation, Target, TenantQuota, WarmQuota,
};
use foreshadow_types::{
    AllocationId, Bytes, EntityId, FencingToken, IdError, InstanceCount, PoolName, Requirements,
    Shape, TenantId, Timestamp, UserId, Vcpus,
};
use rand::Rng;
use rand_pcg::Pcg64;

use super::{
    faults::{Fault, FaultCounts},
    model::Model,
};

const TENANTS: [&str; 3] = ["red", "green", "blue"];
const USERS: [&str; 4] = ["ada", "bob", "cyd", "dee"];
const POOLS: [&str; 3] = ["plain", "shared", "reserved"];

/// A call to be made, and whether its token is known to be stale.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) input: Input,
    pub(super) stale: bool,
}

/// Draws calls.
#[derive(Debug)]
pub(super) struct Workload {
    rng: Pcg64,
    generation: u64,
}

/// The pools of the simulation: deleted, shared and reused, reset and aging.
pub(super) fn pools() -> Result<Vec<PoolSpec>, IdError> {
    POOLS
        .iter()
        .map(|name| Ok(tuned(PoolSpec::new(PoolName::new(name)?))))
        .collect()
}

/// Those who ask.
pub(super) fn tenants() -> impl Iterator<Item = TenantId> {
    TENANTS.iter().filter_map(|name| TenantId::new(name).ok())
}

fn tuned(mut spec: PoolSpec) -> PoolSpec {
    spec.max = InstanceCount(6);
    spec.max_queue = 5;
    spec.startup = Duration::from_secs(5);
    spec.start_timeout = Duration::from_secs(20);
    spec.stop_timeout = Duration::from_secs(10);
    spec.max_wait = Duration::from_secs(40);
    spec.lease_duration = Duration::from_mins(1);
    spec.grace = Duration::from_secs(15);
    let (vcpus, memory) = match spec.name.as_str() {
        "shared" => (4_000, 8 << 30),
        _ => (2_000, 4 << 30),
    };
    spec.shape = Shape {
        vcpus: Vcpus::from_thousandths(vcpus),
        memory: Bytes(memory),
        ..Shape::default()
    };
    match spec.name.as_str() {
        "plain" => spec.hold = HoldMode::Freeze,
        "shared" => {
            spec.recycle = Recycle::Reuse;
            spec.shares = 3;
        }
        _ => {
            spec.recycle = Recycle::Reset;
            spec.max_age = Some(Duration::from_mins(3));
            spec.min = InstanceCount(1);
        }
    }
    spec
}

impl Workload {
    pub(super) fn new(rng: Pcg64) -> Self {
        Self { rng, generation: 0 }
    }

    pub(super) fn next(
        &mut self,
        model: &Model,
        in_force: u64,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) -> Option<Call> {
        let fresh = |input| {
            Some(Call {
                input,
                stale: false,
            })
        };
        match self.rng.random_range(0..100) {
            94 if self.rng.random_bool(0.4) => {
                let tenant = self.tenant()?;
                let quota = self.quota(&tenant)?;
                fresh(Input::LimitTenant { tenant, quota })
            }
            0..46 | 94 => fresh(Input::Allocate(Arc::new(self.request(model, now, faults)?))),
            46..62 => self.with_token(model, |id, token| Input::Release { id, token }),
            62..70 => {
                let lasts = self.rng.random_range(1..90);
                let duration = Some(Duration::from_secs(lasts)).filter(|_| lasts % 3 > 0);
                self.with_token(model, |id, token| Input::Renew {
                    id,
                    token,
                    duration,
                })
            }
            70..78 => self.stale_token(model, faults),
            78..84 => {
                let id = self.known(model, |state| state != AllocationState::Granted)?;
                fresh(Input::Cancel { id })
            }
            84..93 => fresh(Input::AdoptPlan(Box::new(
                self.plan(in_force, now, faults)?,
            ))),
            93 => fresh(Input::DefinePool(Box::new(self.redefinition(model)?))),
            95 if self.rng.random_bool(0.2) => {
                let drawn = self.rng.random_range(0..POOLS.len());
                fresh(Input::DrainPool(PoolName::new(POOLS[drawn]).ok()?))
            }
            95 => {
                let id = self.known(model, |state| state == AllocationState::Granted)?;
                let instance = model.known.get(&id)?.seen.instance.as_ref()?.id;
                fresh(Input::Drain { instance })
            }
            _ => None,
        }
    }

    fn quota(&mut self, tenant: &TenantId) -> Option<TenantQuota> {
        let live = Some(self.rng.random_range(2..9)).filter(|limit| limit % 2 == 0);
        // One tenant alone has rates, or hardly anybody would come to wait.
        let rated = tenant.as_str() == TENANTS[0];
        let rate = live.filter(|_| rated).map(|live| RequestRate {
            per_second: live,
            burst: live,
        });
        let floor = self.rng.random_range(0..3);
        let cap = self.rng.random_range(1..5);
        let cap = Some(floor.max(cap)).filter(|cap| cap % 4 > 0);
        let pool = PoolName::new("reserved").ok()?;
        let warm = BTreeMap::from([(pool, WarmQuota { floor, cap })]);
        Some(TenantQuota { live, rate, warm })
    }

    fn tenant(&mut self) -> Option<TenantId> {
        TenantId::new(TENANTS[self.rng.random_range(0..TENANTS.len())]).ok()
    }

    fn known(
        &mut self,
        model: &Model,
        fits: impl Fn(AllocationState) -> bool,
    ) -> Option<AllocationId> {
        let fitting: Vec<AllocationId> = model
            .known
            .values()
            .filter(|known| fits(known.seen.state))
            .map(|known| known.seen.id)
            .collect();
        let drawn = self.rng.random_range(0..fitting.len().max(1));
        fitting.get(drawn).copied()
    }

    fn with_token(
        &mut self,
        model: &Model,
        call: impl FnOnce(AllocationId, FencingToken) -> Input,
    ) -> Option<Call> {
        let id = self.known(model, |state| {
            matches!(state, AllocationState::Granted | AllocationState::Joined)
        })?;
        let token = model.known.get(&id)?.seen.fencing_token?;
        Some(Call {
            input: call(id, token),
            stale: false,
        })
    }

    /// A holder that was away too long: its token is one of before.
    fn stale_token(&mut self, model: &Model, faults: &mut FaultCounts) -> Option<Call> {
        let id = self.known(model, |state| state == AllocationState::Granted)?;
        let current = model.known.get(&id)?.seen.fencing_token?;
        let token = FencingToken(self.rng.random_range(0..current.0.max(1)));
        if token >= current {
            return None;
        }
        faults.count(Fault::StaleToken);
        let input = if self.rng.random_bool(0.5) {
            Input::Release { id, token }
        } else {
            Input::Renew {
                id,
                token,
                duration: None,
            }
        };
        Some(Call { input, stale: true })
    }

    fn request(
        &mut self,
        model: &Model,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) -> Option<AllocationRequest> {
        if self.rng.random_bool(0.12) {
            let keyed: Vec<_> = model
                .keys
                .values()
                .filter_map(|id| model.known.get(id))
                .collect();
            if !keyed.is_empty() {
                let first = keyed[self.rng.random_range(0..keyed.len())];
                faults.count(Fault::RequestRepeated);
                return Some((*first.request).clone());
            }
        }
        let mut builder = AllocationRequest::builder(self.tenant()?, self.target()?)
            .user(UserId::new(USERS[self.rng.random_range(0..USERS.len())]).ok())
            .priority(self.rng.random_range(0..3));
        if self.rng.random_bool(0.15) {
            builder =
                builder.availability_time(now + Duration::from_secs(self.rng.random_range(1..120)));
        }
        if self.rng.random_bool(0.5) {
            let waits = [0, 3, 20, 90][self.rng.random_range(0..4)];
            builder = builder.max_wait(Duration::from_secs(waits));
        }
        if self.rng.random_bool(0.5) {
            let lasts = self.rng.random_range(5..120);
            builder = builder.lease_duration(Duration::from_secs(lasts));
        }
        if self.rng.random_bool(0.15) {
            builder = builder.merge_key(["build", "train"][self.rng.random_range(0..2)]);
        }
        if self.rng.random_bool(0.3) {
            let key = self.rng.random_range(0..400_u32).to_string();
            let request = builder.idempotency_key(&*key).build().ok()?;
            let used = (request.tenant().clone(), Arc::from(key));
            if model.keys.contains_key(&used) {
                faults.count(Fault::KeyMisused);
            }
            return Some(request);
        }
        builder.build().ok()
    }

    fn target(&mut self) -> Option<Target> {
        if self.rng.random_bool(0.75) {
            let name = POOLS[self.rng.random_range(0..POOLS.len())];
            return PoolName::new(name).ok().map(Target::Pool);
        }
        let vcpus = [500, 1_000, 2_000, 3_000][self.rng.random_range(0..4)];
        let shape = Shape {
            vcpus: Vcpus::from_thousandths(vcpus),
            memory: Bytes(1 << 30),
            ..Shape::default()
        };
        Some(Target::Requirements(Arc::new(Requirements {
            shape,
            ..Requirements::default()
        })))
    }

    fn plan(
        &mut self,
        in_force: u64,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) -> Option<AdoptedPlan> {
        self.generation = self.generation.max(in_force) + 1;
        let stale = self.rng.random_bool(0.1);
        if stale {
            faults.count(Fault::StalePlan);
        }
        let generation = if stale { in_force } else { self.generation };
        let mut pools = Vec::new();
        for name in POOLS {
            if self.rng.random_bool(0.7) {
                pools.push(self.pool_plan(PoolName::new(name).ok()?, now, faults)?);
            }
        }
        Some(AdoptedPlan { generation, pools })
    }

    fn pool_plan(
        &mut self,
        pool: PoolName,
        now: Timestamp,
        faults: &mut FaultCounts,
    ) -> Option<PoolPlan> {
        let absurd = self.rng.random_bool(0.1);
        if absurd {
            faults.count(Fault::AbsurdPlan);
        }
        let most = if absurd { u32::MAX } else { 5 };
        let mut reservations = Vec::new();
        if pool.as_str() == "reserved" {
            let user = USERS[self.rng.random_range(0..USERS.len())];
            let count = InstanceCount(self.rng.random_range(0..=most.min(u32::MAX - 1)).min(most));
            reservations.push(Reservation {
                entity: EntityId::new(user).ok()?,
                count,
            });
        }
        let curve = (0..3).map(|_| {
            let ahead = Duration::from_secs(self.rng.random_range(0..120));
            (now + ahead, self.rng.random_range(0..=most))
        });
        let predicted_demand = curve.collect();
        let target = InstanceCount(self.rng.random_range(0..=most));
        Some(PoolPlan {
            pool,
            target,
            reservations,
            predicted_demand,
        })
    }

    /// A pool's definition changes: its instances have to be replaced, or there may be one more.
    fn redefinition(&mut self, model: &Model) -> Option<PoolSpec> {
        let drawn = self.rng.random_range(0..model.specs.len().max(1));
        let mut spec = model.specs.values().nth(drawn)?.clone();
        if self.rng.random_bool(0.5) {
            spec.revision += 1;
        } else {
            spec.max.0 = (spec.max.0 + 1).min(8);
        }
        Some(spec)
    }
}
