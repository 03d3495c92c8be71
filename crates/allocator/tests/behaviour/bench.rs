//! An allocator driven by hand: inputs at given seconds, effects collected.

use std::{sync::Arc, time::Duration};

use foreshadow_allocator::{
    AdoptedPlan, Allocation, AllocationRequest, AllocationRequestBuilder, Allocator,
    AllocatorConfig, AllocatorError, Effect, Event, Input, PoolPlan, PoolSpec, Reply, Reservation,
    Target,
};
use foreshadow_types::{
    AllocationId, EntityId, FencingToken, InstanceCount, InstanceId, PoolName, TenantId, Timestamp,
    UserId,
};

pub(crate) struct Bench {
    pub(crate) allocator: Allocator,
    pub(crate) events: Vec<Event>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) now: Timestamp,
    /// Whether all promises are checked after each input, which takes its time.
    pub(crate) audited: bool,
    generation: u64,
}

pub(crate) fn pool(name: &str) -> PoolName {
    PoolName::new(name).unwrap()
}

pub(crate) fn spec(max: u32) -> PoolSpec {
    let mut spec = PoolSpec::new(pool("small"));
    spec.max = InstanceCount(max);
    spec.startup = Duration::from_secs(10);
    spec.lease_duration = Duration::from_secs(100);
    spec.max_wait = Duration::from_mins(1);
    spec
}

pub(crate) fn request(tenant: &str) -> AllocationRequestBuilder {
    let tenant = TenantId::new(tenant).unwrap();
    AllocationRequest::builder(tenant, Target::Pool(pool("small")))
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

impl Bench {
    pub(crate) fn new(spec: PoolSpec) -> Self {
        Self::with_config(AllocatorConfig::default(), spec)
    }

    pub(crate) fn with_config(config: AllocatorConfig, spec: PoolSpec) -> Self {
        let mut bench = Self {
            allocator: Allocator::new(config),
            events: Vec::new(),
            effects: Vec::new(),
            now: second(0),
            audited: true,
            generation: 0,
        };
        bench.input(Input::DefinePool(Box::new(spec))).unwrap();
        bench
    }

    pub(crate) fn input(&mut self, input: Input) -> Result<Reply, AllocatorError> {
        let reply = self.allocator.handle(input, self.now);
        self.collect();
        reply
    }

    pub(crate) fn at(&mut self, at: i64) -> &mut Self {
        self.now = second(at);
        while self
            .allocator
            .next_deadline()
            .is_some_and(|due| due <= self.now)
        {
            self.allocator.handle_timeout(self.now);
        }
        self.collect();
        self
    }

    fn collect(&mut self) {
        while let Some(event) = self.allocator.poll_event() {
            self.events.push(event);
        }
        while let Some(effect) = self.allocator.poll_effect() {
            self.effects.push(effect);
        }
        if self.audited {
            assert_eq!(self.allocator.audit(Timestamp::MIN), []);
        }
    }

    pub(crate) fn ask(
        &mut self,
        request: AllocationRequestBuilder,
    ) -> Result<Allocation, AllocatorError> {
        let request = Arc::new(request.build().unwrap());
        self.input(Input::Allocate(request))
            .map(|reply| match reply {
                Reply::Allocation(allocation) => *allocation,
                Reply::Done => panic!("a request is answered with its allocation"),
            })
    }

    pub(crate) fn release(&mut self, allocation: &Allocation) -> Result<Reply, AllocatorError> {
        let token = allocation.fencing_token.unwrap();
        self.input(Input::Release {
            id: allocation.id,
            token,
        })
    }

    pub(crate) fn renew(
        &mut self,
        id: AllocationId,
        token: FencingToken,
    ) -> Result<Reply, AllocatorError> {
        self.input(Input::Renew {
            id,
            token,
            duration: None,
        })
    }

    pub(crate) fn plan(
        &mut self,
        target: u32,
        reservations: &[(&str, u32)],
        demand: &[(i64, u32)],
    ) {
        self.generation += 1;
        let part = PoolPlan {
            pool: pool("small"),
            target: InstanceCount(target),
            reservations: reservations
                .iter()
                .map(|&(entity, count)| Reservation {
                    entity: EntityId::new(entity).unwrap(),
                    count: InstanceCount(count),
                })
                .collect(),
            predicted_demand: demand.iter().map(|&(at, n)| (second(at), n)).collect(),
        };
        let plan = AdoptedPlan {
            generation: self.generation,
            pools: vec![part],
        };
        self.input(Input::AdoptPlan(Box::new(plan))).unwrap();
    }

    pub(crate) fn ready(&mut self, instance: u64) {
        let address = format!("127.0.0.1:{}", 9_000 + instance).into();
        self.input(Input::Ready {
            instance: InstanceId(instance),
            address,
        })
        .unwrap();
    }

    pub(crate) fn failed(&mut self, instance: u64) {
        self.input(Input::Failed {
            instance: InstanceId(instance),
        })
        .unwrap();
    }

    pub(crate) fn gone(&mut self, instance: u64) {
        self.input(Input::Gone {
            instance: InstanceId(instance),
        })
        .unwrap();
    }

    /// A pool with this many warm instances, each of which took ten seconds to start.
    pub(crate) fn warm(mut self, count: u32) -> Self {
        self.now = second(-10);
        self.plan(count, &[], &[]);
        self.now = second(0);
        for instance in 1..=u64::from(count) {
            self.ready(instance);
        }
        self.effects.clear();
        self
    }

    pub(crate) fn state_of(&self, id: AllocationId) -> Allocation {
        self.allocator.allocation(id, self.now).unwrap()
    }

    pub(crate) fn counts(&self) -> (u32, u32, u32, u32) {
        let status = self.allocator.pool_status(&pool("small")).unwrap();
        (
            status.ready,
            status.starting,
            status.leased,
            status.stopping,
        )
    }
}
