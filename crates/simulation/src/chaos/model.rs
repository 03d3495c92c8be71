//! What callers have been promised, kept apart from the core and much simpler than it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use foreshadow_allocator::{
    Allocation, AllocationRequest, AllocatorError, Input, Invariant, PoolSpec, Reply, Violation,
};
use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName, TenantId, Timestamp};

use super::warm::WarmQuotas;

/// A request that was acknowledged, and what its caller did since.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) request: Arc<AllocationRequest>,
    /// How it was seen last.
    pub(super) seen: Allocation,
    /// Where it was first, whose rules say how long it waits.
    pub(super) home: PoolName,
    /// The lease may not end of itself before.
    pub(super) earliest_expiry: Option<Timestamp>,
    /// Whether it stood in a queue at the last check, its time having come.
    pub(super) queued: bool,
    pub(super) release_sent: bool,
    pub(super) cancel_sent: bool,
}

/// The promises.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) specs: BTreeMap<PoolName, PoolSpec>,
    pub(super) known: BTreeMap<AllocationId, Known>,
    pub(super) keys: BTreeMap<(TenantId, Arc<str>), AllocationId>,
    /// Instances reported as broken or gone, the report not being durable yet.
    pub(super) reported: Vec<InstanceId>,
    /// Instances reported as broken or gone.
    pub(super) broken: BTreeSet<InstanceId>,
    pub(super) tokens: BTreeMap<InstanceId, FencingToken>,
    /// The latest time that the clock has ever shown.
    pub(super) latest: Timestamp,
    pub(super) failures_since_check: bool,
    pub(super) warm: WarmQuotas,
    pub(super) idempotency_window: Duration,
    pub(super) violations: Vec<Violation>,
}

impl Model {
    pub(super) fn breach(&mut self, invariant: Invariant, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    /// A call is on its way; its answer may never come.
    pub(super) fn sent(&mut self, input: &Input, now: Timestamp) {
        match input {
            Input::Release { id, token } => {
                if let Some(known) = self.known.get_mut(id) {
                    let right = known.seen.fencing_token.is_none_or(|seen| *token >= seen);
                    known.release_sent |= right;
                }
            }
            Input::Cancel { id } => {
                if let Some(known) = self.known.get_mut(id) {
                    known.cancel_sent = true;
                }
            }
            Input::Renew { id, duration, .. } => {
                if let Some(known) = self.known.get_mut(id) {
                    let spec = self.specs.get(&known.seen.pool);
                    let usual = known
                        .request
                        .lease_duration()
                        .or(spec.map(|s| s.lease_duration));
                    let renewed = now + duration.or(usual).unwrap_or_default();
                    known.earliest_expiry = known.earliest_expiry.map(|at| at.min(renewed));
                }
            }
            Input::DefinePool(spec) => {
                self.specs.insert(spec.name.clone(), (**spec).clone());
            }
            Input::Failed { instance } | Input::Gone { instance } => {
                self.reported.push(*instance);
                self.failures_since_check = true;
            }
            Input::LimitTenant { tenant, .. } => self.warm.sent(tenant),
            Input::RetirePool(_)
            | Input::AdoptPlan(_)
            | Input::Allocate(_)
            | Input::Ready { .. }
            | Input::Given { .. }
            | Input::PredictUsage(_)
            | Input::DrainPool(_)
            | Input::Drain { .. } => {}
        }
    }

    /// The answer has come, and with it the promise.
    pub(super) fn answered(
        &mut self,
        input: &Input,
        result: &Result<Reply, AllocatorError>,
        stale: bool,
    ) {
        if stale && result.is_ok() {
            let what = format!("{input:?} was accepted with a stale token");
            self.breach(Invariant::StaleTokenRefused, what);
        }
        if let Input::LimitTenant { tenant, quota } = input {
            self.warm.answered(tenant, quota, result.is_ok());
        }
        let Input::Allocate(request) = input else {
            return;
        };
        match result {
            Ok(Reply::Allocation(allocation)) => self.acknowledged(request, allocation),
            Ok(Reply::Done) => {
                self.breach(
                    Invariant::EventsFit,
                    "a request was answered with nothing".to_owned(),
                );
            }
            Err(error) => self.refused(request, error),
        }
    }

    fn first_use(&self, request: &AllocationRequest) -> Option<&Known> {
        let key = request.idempotency_key()?;
        let id = self.keys.get(&(request.tenant().clone(), key.clone()))?;
        let first = self.known.get(id)?;
        let remembered = first.seen.created_at + self.idempotency_window > self.latest;
        (remembered || first.seen.state.is_live()).then_some(first)
    }

    fn acknowledged(&mut self, request: &Arc<AllocationRequest>, allocation: &Allocation) {
        if let Some(first) = self.first_use(request) {
            let same = first.request == *request && first.seen.id == allocation.id;
            let first = first.seen.id;
            if !same {
                let what = format!("key of {first} gave {}", allocation.id);
                self.breach(Invariant::OneAllocationPerKey, what);
            }
        }
        if allocation.tenant != *request.tenant() {
            let what = format!("{} belongs to {}", allocation.id, allocation.tenant);
            self.breach(Invariant::OneOwnerPerInstance, what);
        }
        if let Some(key) = request.idempotency_key() {
            let key = (request.tenant().clone(), key.clone());
            self.keys.insert(key, allocation.id);
        }
        self.check_room(request, allocation);
        self.known.entry(allocation.id).or_insert_with(|| Known {
            request: request.clone(),
            seen: allocation.clone(),
            home: allocation.pool.clone(),
            earliest_expiry: allocation.lease_expires_at,
            queued: false,
            release_sent: false,
            cancel_sent: false,
        });
    }

    /// Whoever is taken in to wait has no more before it than may wait; those whose instance failed
    /// come back beyond that. With a key it may have been taken in long ago.
    fn check_room(&mut self, request: &AllocationRequest, allocation: &Allocation) {
        let new = request.idempotency_key().is_none();
        let (Some(position), true) = (allocation.queue_position, new) else {
            return;
        };
        let most = self.specs.get(&allocation.pool).map(|spec| spec.max_queue);
        if most.is_some_and(|most| position > most) {
            let what = format!("{} was taken in at place {position}", allocation.id);
            self.breach(Invariant::QueueBounded, what);
        }
    }

    fn refused(&mut self, request: &AllocationRequest, error: &AllocatorError) {
        let Some(first) = self.first_use(request) else {
            return;
        };
        let (id, repeated) = (first.seen.id, *first.request == *request);
        let conflict = matches!(error, AllocatorError::IdempotencyConflict { .. });
        if repeated || !conflict {
            let what = format!("key of {id} was refused with: {error}");
            self.breach(Invariant::OneAllocationPerKey, what);
        }
    }

    /// When a request has waited as long as it said.
    pub(super) fn gives_up_at(&self, known: &Known) -> Timestamp {
        let spec = self.specs.get(&known.home);
        let wait = known.request.max_wait().or(spec.map(|spec| spec.max_wait));
        known.seen.available_at + wait.unwrap_or_default()
    }
}
