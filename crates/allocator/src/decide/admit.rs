//! Taking a request in.

use std::{sync::Arc, time::Duration};

use foreshadow_types::{AllocationId, Timestamp};

use super::place::{Search, Spot};
use crate::{
    AllocationRecord, AllocationRequest, Allocator, AllocatorError, Binding, EventKind, Served,
    keys::tenant_key, state::PoolIx,
};

impl Allocator {
    pub(crate) fn allocate(
        &mut self,
        request: Arc<AllocationRequest>,
        now: Timestamp,
    ) -> Result<AllocationId, AllocatorError> {
        if let Some(id) = self.same_request(&request, now)? {
            return Ok(id);
        }
        self.check_tenant(&request, now)?;
        let candidates = self.candidates(request.target())?;
        let candidates = candidates.as_slice();
        if request.availability_time().is_some_and(|at| at > now) {
            return self.book(request, candidates, now);
        }
        let at_once = request.max_wait() == Some(Duration::ZERO);
        let search = Search {
            request: &request,
            candidates,
            at_once,
            waits: false,
            whole: false,
        };
        match self.find_spot(search, now) {
            Some(spot) => Ok(self.admit(request, &spot, now)),
            None if at_once => Err(self.refusal(&request, candidates, false, now)),
            None => self.enqueue(request, candidates, now),
        }
    }

    /// The allocation of an earlier call with the same idempotency key.
    fn same_request(
        &self,
        request: &AllocationRequest,
        now: Timestamp,
    ) -> Result<Option<AllocationId>, AllocatorError> {
        let Some(key) = request.idempotency_key() else {
            return Ok(None);
        };
        let key = tenant_key(request.tenant(), key);
        let Some((id, alloc)) = self
            .state
            .idempotency
            .get(&key)
            .and_then(|id| Some((id, self.state.allocations.get(&id)?)))
        else {
            return Ok(None);
        };
        let record = &alloc.record;
        let forgotten = record.created_at + self.state.config.idempotency_window <= now;
        if forgotten && !record.binding.state().is_live() {
            return Ok(None);
        }
        if *record.request != *request {
            return Err(AllocatorError::IdempotencyConflict { id });
        }
        Ok(Some(id))
    }

    /// Whether the tenant may ask now. Every request that is no repetition counts against its rate,
    /// also one that is refused later.
    fn check_tenant(
        &mut self,
        request: &AllocationRequest,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        let tenant = request.tenant();
        let (live, limit, rate) = self.state.tenant_limits(tenant);
        if live >= limit {
            let candidates = self.candidates(request.target())?;
            let retry_after = self.tenant_turnover(candidates.as_slice()[0], live);
            return Err(AllocatorError::TenantLimit {
                tenant: tenant.clone(),
                limit,
                retry_after,
            });
        }
        let Some(rate) = rate else { return Ok(()) };
        let taken = self.rates.take(tenant, rate, now);
        taken.map_err(|retry_after| AllocatorError::TenantRate {
            tenant: tenant.clone(),
            rate,
            retry_after,
        })
    }

    fn admit(
        &mut self,
        request: Arc<AllocationRequest>,
        spot: &Spot,
        now: Timestamp,
    ) -> AllocationId {
        let served = self.served_at(spot);
        let merged = matches!(spot, Spot::Share { .. });
        let hold = self.take(spot, now);
        let until = self.gives_up_at(&request, spot.pool(), now);
        let binding = Binding::Joined { hold, until };
        let mut record = self.record(request, spot.pool(), served, binding, now);
        record.merged = merged;
        record.binding = self.binding_to(hold, &record, until, now);
        let id = self.create(record, now);
        self.join_waiting(id, now);
        id
    }

    fn enqueue(
        &mut self,
        request: Arc<AllocationRequest>,
        candidates: &[PoolIx],
        now: Timestamp,
    ) -> Result<AllocationId, AllocatorError> {
        let ix = self.with_room_to_wait(&request, candidates, now)?;
        let until = self.gives_up_at(&request, ix, now);
        let round = 0;
        let binding = Binding::Queued { round, until };
        let mut record = self.record(request, ix, Served::Nothing, binding, now);
        let round = self.turn_of(&record, ix);
        record.binding = Binding::Queued { round, until };
        Ok(self.create(record, now))
    }

    /// The candidate with the shortest expected wait among those whose queue is not full.
    pub(super) fn with_room_to_wait(
        &self,
        request: &AllocationRequest,
        candidates: &[PoolIx],
        now: Timestamp,
    ) -> Result<PoolIx, AllocatorError> {
        let open = candidates.iter().copied().filter(|&ix| {
            let pool = self.state.pool(ix);
            pool.waiting() < pool.spec().max_queue && pool.warm.may_ask(request.tenant())
        });
        open.min_by_key(|&ix| self.wait_at(ix, self.state.pool(ix).queue.len() + 1, now))
            .ok_or_else(|| self.refusal(request, candidates, true, now))
    }

    /// Why none of the candidates takes the request: the first has nothing free, or the tenant has as
    /// much of each as it may.
    fn refusal(
        &self,
        request: &AllocationRequest,
        candidates: &[PoolIx],
        queue_full: bool,
        now: Timestamp,
    ) -> AllocatorError {
        let tenant = request.tenant();
        let mut pools = candidates.iter().map(|&ix| (ix, &self.state.pool(ix).warm));
        if let Some((ix, _)) = pools.find(|(_, warm)| warm.may_ask(tenant)) {
            return self.exhausted(ix, queue_full, now);
        }
        let ix = candidates[0];
        let part = self.state.pool(ix).warm.part(tenant).unwrap_or_default();
        AllocatorError::WarmCap {
            tenant: tenant.clone(),
            pool: self.pool_name(ix),
            cap: part.quota.cap.unwrap_or_default(),
            retry_after: self.tenant_turnover(ix, part.held),
        }
    }

    fn exhausted(&self, ix: PoolIx, queue_full: bool, now: Timestamp) -> AllocatorError {
        let retry_after = if queue_full {
            self.wait_at(ix, 1, now)
        } else {
            self.wait_for_warm(ix, now)
        };
        AllocatorError::Exhausted {
            pool: self.pool_name(ix),
            queue_full,
            retry_after,
        }
    }

    pub(super) fn record(
        &self,
        request: Arc<AllocationRequest>,
        ix: PoolIx,
        served: Served,
        binding: Binding,
        now: Timestamp,
    ) -> AllocationRecord {
        let spec = self.state.pool(ix).spec();
        let weights = &self.state.config.priorities;
        AllocationRecord {
            id: AllocationId(self.state.counters.next_allocation),
            rank: weights.rank(&request, spec, &self.usage),
            request,
            pool: spec.name.clone(),
            created_at: now,
            served,
            merged: false,
            binding,
        }
    }

    pub(super) fn create(&mut self, record: AllocationRecord, now: Timestamp) -> AllocationId {
        let id = record.id;
        self.decide(now, EventKind::AllocationCreated(Box::new(record)));
        id
    }

    /// When the request has waited long enough: its wait starts when it was asked for or, if that is
    /// later, at its time ahead.
    pub(super) fn gives_up_at(
        &self,
        request: &AllocationRequest,
        ix: PoolIx,
        created_at: Timestamp,
    ) -> Timestamp {
        let from = request
            .availability_time()
            .map_or(created_at, |at| at.max(created_at));
        from + request
            .max_wait()
            .unwrap_or(self.state.pool(ix).spec().max_wait)
    }

    /// The turn of a request among those of its rank: one request of each tenant a round, and nobody
    /// before the round that is being served.
    pub(super) fn turn_of(&self, record: &AllocationRecord, ix: PoolIx) -> u64 {
        let pool = self.state.pool(ix);
        let served = self.round_served(record.rank, ix);
        let (tenant, rank) = (record.request.tenant(), record.rank);
        let from = (tenant.clone(), rank, 0, AllocationId(0));
        let to = (tenant.clone(), rank, u64::MAX, AllocationId(u64::MAX));
        let last = pool.turns.range(from..=to).next_back();
        last.map_or(served, |&(_, _, round, _)| served.max(round + 1))
    }

    /// The round of the first request of this rank.
    pub(super) fn round_served(&self, rank: i32, ix: PoolIx) -> u64 {
        let queue = &self.state.pool(ix).queue;
        let from = (std::cmp::Reverse(rank), 0, Timestamp::MIN, AllocationId(0));
        match queue.at_or_after(&from) {
            Some(&(std::cmp::Reverse(first), round, ..)) if first == rank => round,
            Some(_) | None => 0,
        }
    }
}
