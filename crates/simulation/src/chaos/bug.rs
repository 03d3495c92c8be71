//! The core, whole or with a bug planted at its edge: a campaign that does not find each of them
//! proves nothing when it finds none.

use std::{sync::Arc, time::Duration};

use foreshadow_allocator::{
    Allocation, AllocationRequest, Allocator, AllocatorConfig, AllocatorError, Effect, Event,
    EventKind, Input, ListFilter, RecoverError, Reply, Target,
};
use foreshadow_types::{FencingToken, TenantId, Timestamp};

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The token of a release is not looked at.
    TokenIgnored,
    /// Tokens do not rise.
    TokenConstant,
    /// Idempotency keys are not looked at.
    KeyIgnored,
    /// A key is answered with the first request whatever the second says.
    BodyIgnored,
    /// Everything of a tenant is merged.
    MergedTooMuch,
    /// Tenants share each other's instances.
    TenantsMixed,
    /// Deadlines are not kept.
    DeadlinesIgnored,
    /// Leases end before their time.
    ExpiredEarly,
    /// Priorities are not looked at.
    PriorityIgnored,
    /// One instance more than the maximum.
    OneTooMany,
    /// The queue has no bound.
    QueueUnbounded,
    /// A failed instance stays with its holder.
    FailureIgnored,
    /// Instances are not stopped.
    StopForgotten,
    /// The end of an allocation is not made durable.
    EndNotDurable,
    /// Recovery loses the last grant.
    GrantLostInRecovery,
    /// A grant ahead of its time.
    BookingEarly,
    /// Floors of tenants keep nothing from others.
    FloorIgnored,
    /// Caps of tenants are not looked at.
    CapIgnored,
    /// What waits for its shape is not told apart.
    ShapeIgnored,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::TokenIgnored,
        Self::TokenConstant,
        Self::KeyIgnored,
        Self::BodyIgnored,
        Self::MergedTooMuch,
        Self::TenantsMixed,
        Self::DeadlinesIgnored,
        Self::ExpiredEarly,
        Self::PriorityIgnored,
        Self::OneTooMany,
        Self::QueueUnbounded,
        Self::FailureIgnored,
        Self::StopForgotten,
        Self::EndNotDurable,
        Self::GrantLostInRecovery,
        Self::BookingEarly,
        Self::FloorIgnored,
        Self::CapIgnored,
        Self::ShapeIgnored,
    ];
}

/// The core under test.
#[derive(Debug)]
pub(super) struct Core {
    inner: Allocator,
    bug: Option<Bug>,
}

impl Core {
    pub(super) fn new(config: AllocatorConfig, bug: Option<Bug>) -> Self {
        Self {
            inner: Allocator::new(config),
            bug,
        }
    }

    pub(super) fn recover(
        config: AllocatorConfig,
        events: &[Event],
        bug: Option<Bug>,
    ) -> Result<Self, RecoverError> {
        let lost = match bug {
            Some(Bug::GrantLostInRecovery) => events.iter().rposition(is_last_grant(events)),
            Some(_) | None => None,
        };
        let kept = events
            .iter()
            .enumerate()
            .filter(|&(at, _)| Some(at) != lost);
        let inner = Allocator::recover(config, kept.map(|(_, event)| event.clone()))?;
        Ok(Self { inner, bug })
    }

    /// For looking only.
    pub(super) fn allocator(&self) -> &Allocator {
        &self.inner
    }

    pub(super) fn waits_for_shape(&self, request: &AllocationRequest) -> bool {
        self.bug != Some(Bug::ShapeIgnored) && self.inner.waits_for_shape(request)
    }

    pub(super) fn resume(&mut self, now: Timestamp) {
        self.inner.resume(now);
    }

    pub(super) fn handle(&mut self, input: Input, now: Timestamp) -> Result<Reply, AllocatorError> {
        let Some(input) = self.spoil(input) else {
            return Ok(Reply::Done);
        };
        let retry = match (&input, self.bug) {
            (Input::Allocate(request), Some(Bug::BodyIgnored)) => Some(request.clone()),
            _ => None,
        };
        let result = self.inner.handle(input, now);
        let result = match (result, retry) {
            (Err(AllocatorError::IdempotencyConflict { id }), Some(_)) => {
                let first = self.inner.allocation(id, now);
                first
                    .map(|first| Reply::Allocation(Box::new(first)))
                    .ok_or(AllocatorError::NothingFits)
            }
            (result, _) => result,
        };
        result.map(|reply| match reply {
            Reply::Allocation(allocation) => Reply::Allocation(Box::new(self.seen(*allocation))),
            Reply::Done => Reply::Done,
        })
    }

    fn spoil(&self, input: Input) -> Option<Input> {
        let Some(bug) = self.bug else {
            return Some(input);
        };
        Some(match (bug, input) {
            (Bug::TokenIgnored, Input::Release { id, token }) => {
                let known = self.inner.allocation(id, Timestamp::MIN);
                let right = known.and_then(|known| known.fencing_token);
                Input::Release {
                    id,
                    token: right.unwrap_or(token),
                }
            }
            (Bug::OneTooMany, Input::DefinePool(mut spec)) => {
                spec.max.0 += 1;
                Input::DefinePool(spec)
            }
            (Bug::QueueUnbounded, Input::DefinePool(mut spec)) => {
                spec.max_queue = 10_000;
                Input::DefinePool(spec)
            }
            (Bug::FailureIgnored, Input::Failed { .. }) => return None,
            (Bug::FloorIgnored, Input::LimitTenant { tenant, mut quota }) => {
                quota.warm.values_mut().for_each(|warm| warm.floor = 0);
                Input::LimitTenant { tenant, quota }
            }
            (Bug::CapIgnored, Input::LimitTenant { tenant, mut quota }) => {
                quota.warm.values_mut().for_each(|warm| warm.cap = None);
                Input::LimitTenant { tenant, quota }
            }
            (bug, Input::Allocate(request)) => Input::Allocate(spoiled(bug, request)),
            (_, input) => input,
        })
    }

    /// What callers see of an allocation.
    fn seen(&self, mut allocation: Allocation) -> Allocation {
        if self.bug == Some(Bug::TokenConstant) && allocation.fencing_token.is_some() {
            allocation.fencing_token = Some(FencingToken(1));
        }
        allocation
    }

    pub(super) fn view(&self, now: Timestamp) -> Vec<Allocation> {
        let mut views = Vec::new();
        let mut after = None;
        loop {
            let page = self.inner.list(&ListFilter::default(), after, 1_000, now);
            views.extend(page.allocations.into_iter().map(|view| self.seen(view)));
            after = page.next;
            if after.is_none() {
                return views;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match self.bug {
            Some(Bug::DeadlinesIgnored) => None,
            Some(Bug::ExpiredEarly) => self.inner.next_deadline().map(|at| at - HASTE),
            Some(_) | None => self.inner.next_deadline(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        let haste = if self.bug == Some(Bug::ExpiredEarly) {
            HASTE
        } else {
            Duration::ZERO
        };
        self.inner.handle_timeout(now + haste);
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let event = self.inner.poll_event()?;
        if self.bug == Some(Bug::EndNotDurable)
            && matches!(event.kind, EventKind::AllocationEnded { .. })
        {
            return self.poll_event();
        }
        Some(event)
    }

    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.inner.poll_effect()?;
        if self.bug == Some(Bug::StopForgotten) && matches!(effect, Effect::Stop { .. }) {
            return self.poll_effect();
        }
        Some(effect)
    }
}

/// How much too early the hasty core is.
const HASTE: Duration = Duration::from_secs(3);

/// Whether an event is the creation of a grant that no later event speaks of.
fn is_last_grant(events: &[Event]) -> impl Fn(&Event) -> bool + '_ {
    |event| {
        let EventKind::AllocationCreated(record) = &event.kind else {
            return false;
        };
        let spoken_of = events.iter().any(|other| match &other.kind {
            EventKind::AllocationBound { id, .. }
            | EventKind::LeaseRenewed { id, .. }
            | EventKind::AllocationEnded { id, .. } => *id == record.id,
            _ => false,
        });
        record.binding.state() == foreshadow_allocator::AllocationState::Granted && !spoken_of
    }
}

fn spoiled(bug: Bug, request: Arc<AllocationRequest>) -> Arc<AllocationRequest> {
    let mut tenant = request.tenant().clone();
    let mut priority = request.priority();
    let mut merge_key = request.merge_key().cloned();
    let mut idempotency_key = request.idempotency_key().cloned();
    let mut availability_time = request.availability_time();
    match bug {
        Bug::KeyIgnored => idempotency_key = None,
        Bug::MergedTooMuch => merge_key = Some("all".into()),
        Bug::PriorityIgnored => priority = 0,
        Bug::BookingEarly => availability_time = None,
        Bug::TenantsMixed => match TenantId::new("everybody") {
            Ok(everybody) => tenant = everybody,
            Err(_) => return request,
        },
        Bug::TokenIgnored
        | Bug::TokenConstant
        | Bug::BodyIgnored
        | Bug::DeadlinesIgnored
        | Bug::ExpiredEarly
        | Bug::OneTooMany
        | Bug::QueueUnbounded
        | Bug::FailureIgnored
        | Bug::StopForgotten
        | Bug::EndNotDurable
        | Bug::FloorIgnored
        | Bug::CapIgnored
        | Bug::ShapeIgnored
        | Bug::GrantLostInRecovery => return request,
    }
    let target: Target = request.target().clone();
    let rebuilt = AllocationRequest::builder(tenant, target)
        .user(request.user().cloned())
        .application(request.application().cloned())
        .priority(priority)
        .availability_time(availability_time)
        .max_wait(request.max_wait())
        .lease_duration(request.lease_duration())
        .merge_key(merge_key.as_deref())
        .idempotency_key(idempotency_key.as_deref())
        .build();
    rebuilt.map_or(request, Arc::new)
}
