//! The owner of all pools: inputs in, decisions and effects out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use foreshadow_types::{AllocationId, EntityId, InstanceId, PoolName, Requirements, Timestamp};
use thiserror::Error;

use crate::{
    AllocatorConfig, AllocatorError, Effect, Event, EventKind, Input, Reply, check_invariant,
    quota::Rates,
    state::{ApplyError, PoolIx, State, Timer},
    touched::Touched,
};

/// Deadlines kept in one call of `handle_timeout`, so that none takes long.
const DEADLINES_AT_ONCE: usize = 1_024;
/// Deadlines kept before an input is looked at.
const DEADLINES_BEFORE_INPUT: usize = 64;

/// The event list of a ledger does not make a state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("event {position} of the ledger: {cause}; the ledger is incomplete or not of this service")]
pub struct RecoverError {
    /// Which event, from 0.
    pub position: u64,
    /// Why it does not fit.
    #[source]
    pub cause: ApplyError,
}

/// The owner of all pools. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Allocator {
    pub(crate) state: State,
    pub(crate) effects: VecDeque<Effect>,
    /// Pools in which something changed, to be settled before the input is done.
    pub(crate) touched: Touched,
    /// Instances to be frozen if they are still free once all is settled.
    pub(crate) to_hold: VecDeque<InstanceId>,
    /// Which pools meet which requirements, best fit first; forgotten when a pool changes.
    pub(crate) matches: BTreeMap<Arc<Requirements>, Arc<[PoolIx]>>,
    /// What entities are predicted to use, in percent.
    pub(crate) usage: Arc<BTreeMap<EntityId, u8>>,
    /// Whose turn it is to ask, of the tenants with a rate.
    pub(crate) rates: Rates,
    events: VecDeque<Event>,
}

impl Allocator {
    /// An allocator without pools.
    pub fn new(config: AllocatorConfig) -> Self {
        Self {
            state: State::new(config),
            effects: VecDeque::new(),
            touched: Touched::default(),
            to_hold: VecDeque::new(),
            matches: BTreeMap::new(),
            usage: Arc::default(),
            rates: Rates::default(),
            events: VecDeque::new(),
        }
    }

    /// The allocator whose decisions these are. Nothing is decided; call [`Self::resume`] before
    /// the first input.
    ///
    /// # Errors
    /// [`RecoverError`] at the first event that does not fit those before it.
    pub fn recover(
        config: AllocatorConfig,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<Self, RecoverError> {
        let mut allocator = Self::new(config);
        let refused = |(position, cause)| RecoverError { position, cause };
        let mut events = events.into_iter().peekable();
        let snapshot = allocator.state.restore(&mut events).map_err(refused)?;
        for (position, event) in (snapshot..).zip(events) {
            let applied = allocator.state.apply(&event);
            applied.map_err(|cause| refused((position, cause)))?;
        }
        Ok(allocator)
    }

    /// The same allocator with the state that these events make: what no event tells, its
    /// configuration, predicted usage and whose turn it is, is kept.
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn with_events(
        &self,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<Self, RecoverError> {
        let mut other = Self::recover(self.state.config.clone(), events)?;
        other.usage = Arc::clone(&self.usage);
        other.rates = self.rates.clone();
        Ok(other)
    }

    /// Finishes what a crash interrupted and gives the effects to be carried out again.
    pub fn resume(&mut self, now: Timestamp) {
        self.repeat_effects();
        self.touched.extend(self.state.pool_names.values().copied());
        self.settle(now);
    }

    /// Takes an input in. The reply may be sent once all events polled so far are durable.
    ///
    /// # Errors
    /// [`AllocatorError`]; the input has then changed nothing but whose turn it is to ask.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Result<Reply, AllocatorError> {
        self.keep_deadlines(DEADLINES_BEFORE_INPUT, now);
        let allocation = match input {
            Input::DefinePool(spec) => self.define_pool(*spec, now).map(|()| None),
            Input::RetirePool(name) => self.retire_pool(&name, now).map(|()| None),
            Input::LimitTenant { tenant, quota } => {
                self.limit_tenant(tenant, quota, now).map(|()| None)
            }
            Input::PredictUsage(usage) => {
                self.usage = usage;
                Ok(None)
            }
            Input::AdoptPlan(plan) => self.adopt_plan(*plan, now).map(|()| None),
            Input::Allocate(request) => self.allocate(request, now).map(Some),
            Input::Release { id, token } => self.release(id, token, now).map(Some),
            Input::Renew {
                id,
                token,
                duration,
            } => self.renew(id, token, duration, now).map(Some),
            Input::Cancel { id } => self.cancel(id, now).map(Some),
            Input::Ready { instance, address } => {
                let address = Some(address);
                let ready = EventKind::InstanceReady { instance, address };
                self.report_ready(instance, ready, now).map(|()| None)
            }
            Input::Given { instance, address } => {
                let given = EventKind::InstanceGiven { instance, address };
                self.report_ready(instance, given, now).map(|()| None)
            }
            Input::Failed { instance } => self.report_failed(instance, now).map(|()| None),
            Input::Gone { instance } => self.report_gone(instance, now).map(|()| None),
            Input::Drain { instance } => self.drain(instance, now).map(|()| None),
            Input::DrainPool(name) => self.drain_pool(&name, now).map(|()| None),
        }?;
        self.settle(now);
        Ok(self.reply(allocation, now))
    }

    fn reply(&self, allocation: Option<AllocationId>, now: Timestamp) -> Reply {
        allocation
            .and_then(|id| self.allocation(id, now))
            .map_or(Reply::Done, |allocation| {
                Reply::Allocation(Box::new(allocation))
            })
    }

    /// The next decision to be made durable, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing to do, in order, once all events are durable.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called next; possibly in the past.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.state.timers.first().map(|(at, _)| at)
    }

    /// Keeps the deadlines that have come: leases and waits that end, starts that take too long,
    /// bookings whose time it is. A call keeps a bounded number; [`Self::next_deadline`] is in the
    /// past as long as there are more.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.keep_deadlines(DEADLINES_AT_ONCE, now);
        self.settle(now);
    }

    fn keep_deadlines(&mut self, at_most: usize, now: Timestamp) {
        for _ in 0..at_most {
            let Some((at, timer)) = self.state.timers.first() else {
                return;
            };
            if at > now {
                return;
            }
            match timer {
                Timer::Allocation(id) => self.allocation_due(id, now),
                Timer::Instance(id) => self.instance_due(id, now),
                Timer::Pool(ix) => self.unblock_starts(ix, now),
            }
            let kept = !self.state.timers.contains(at, timer);
            check_invariant!(
                DeadlinesKept,
                kept,
                "{timer:?} at {at} was not kept at {now}"
            );
            self.state.timers.remove(at, timer);
        }
    }

    /// Decides: the state changes, and the event waits to be made durable.
    pub(crate) fn decide(&mut self, now: Timestamp, kind: EventKind) {
        let event = Event { at: now, kind };
        let applied = self.state.apply(&event);
        check_invariant!(EventsFit, applied.is_ok(), "{event:?}: {applied:?}");
        if applied.is_ok() {
            self.events.push_back(event);
        }
    }

    pub(crate) fn pool_name(&self, ix: PoolIx) -> PoolName {
        self.state.pool(ix).spec().name.clone()
    }
}
