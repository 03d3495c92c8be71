//! The state as callers see it, against what they were promised.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_allocator::{
    Allocation, AllocationRequest, AllocationState, Invariant, Phase, Target,
};
use foreshadow_types::{AllocationId, InstanceId, PoolName, Timestamp};

use super::{
    bug::Core,
    model::{Known, Model},
};

impl Model {
    /// Checks every promise that can be seen from outside. All deadlines up to now were kept and
    /// all decisions are durable.
    pub(super) fn check(&mut self, core: &Core, now: Timestamp) {
        let views: BTreeMap<AllocationId, Allocation> = core
            .view(now)
            .into_iter()
            .map(|view| (view.id, view))
            .collect();
        self.check_owners(&views);
        self.check_tokens(&views);
        self.check_deadlines(&views, now);
        self.check_counts(core, &views);
        self.check_order(&views);
        self.check_merged(core, &views);
        self.check_warm(&views);
        self.check_shapes(core, &views);
        self.check_progress(&views, now);
        self.failures_since_check = false;
    }

    /// One instance, one tenant; several allocations only where they may share.
    fn check_owners(&mut self, views: &BTreeMap<AllocationId, Allocation>) {
        let mut holders: BTreeMap<InstanceId, Vec<&Allocation>> = BTreeMap::new();
        for view in views.values() {
            if let (true, Some(instance)) = (view.state.is_live(), &view.instance) {
                holders.entry(instance.id).or_default().push(view);
            }
        }
        for (instance, group) in holders {
            if group.iter().any(|view| {
                view.tenant != group[0].tenant || view.fencing_token != group[0].fencing_token
            }) {
                let what = format!("{instance} is held by {group:?}");
                self.breach(Invariant::OneOwnerPerInstance, what);
            }
            let known: Vec<&Known> = group.iter().filter_map(|v| self.known.get(&v.id)).collect();
            let keyed: BTreeSet<_> = known.iter().filter_map(|k| k.request.merge_key()).collect();
            let keyless = known
                .iter()
                .filter(|k| k.request.merge_key().is_none())
                .count();
            let units = keyed.len() + keyless;
            let shares = self
                .specs
                .get(&group[0].pool)
                .map_or(1, |spec| spec.shares as usize);
            if units > shares {
                let what = format!("{instance} is shared by {units} where {shares} may");
                self.breach(Invariant::MergeOnlyWhenAllowed, what);
            }
        }
    }

    /// Tokens of an instance rise, and nobody new comes with an old one.
    fn check_tokens(&mut self, views: &BTreeMap<AllocationId, Allocation>) {
        for view in views.values().filter(|view| view.state.is_live()) {
            let (Some(instance), Some(token)) = (&view.instance, view.fencing_token) else {
                continue;
            };
            let highest = self.tokens.entry(instance.id).or_insert(token);
            let risen = token >= *highest;
            *highest = token.max(*highest);
            let owner = self
                .tokens
                .iter()
                .find(|&(id, t)| *t == token && *id != instance.id);
            let elsewhere = owner.map(|(id, _)| *id);
            if !risen || elsewhere.is_some() {
                let what = format!("{} holds {} with {token:?}", view.id, instance.id);
                self.breach(Invariant::StaleTokenRefused, what);
            }
        }
    }

    fn check_deadlines(&mut self, views: &BTreeMap<AllocationId, Allocation>, now: Timestamp) {
        for view in views.values() {
            let expired = view.lease_expires_at.is_some_and(|at| at <= now);
            let given_up = view.state.waits()
                && self
                    .known
                    .get(&view.id)
                    .is_some_and(|known| self.gives_up_at(known) <= now);
            if expired || given_up {
                let what = format!("{view:?} at {now}");
                self.breach(Invariant::DeadlinesKept, what);
            }
            let early = view.state == AllocationState::Granted && view.available_at > self.latest;
            let asked = self
                .known
                .get(&view.id)
                .and_then(|k| k.request.availability_time());
            let early = early
                || (view.state == AllocationState::Granted
                    && asked.is_some_and(|asked| asked > self.latest));
            if early {
                let what = format!("{} is granted before its time", view.id);
                self.breach(Invariant::DeadlinesKept, what);
            }
            let broken = view
                .instance
                .as_ref()
                .is_some_and(|i| self.broken.contains(&i.id));
            if broken && view.state == AllocationState::Granted {
                let what = format!("{} holds an instance reported as broken", view.id);
                self.breach(Invariant::AcknowledgedLeaseSurvives, what);
            }
        }
    }

    fn check_counts(&mut self, core: &Core, views: &BTreeMap<AllocationId, Allocation>) {
        for (name, spec) in self.specs.clone() {
            let members = core
                .allocator()
                .instances()
                .filter(|i| i.pool == name)
                .count();
            if members > spec.max.0 as usize {
                let what = format!("{name} has {members} instances of {}", spec.max);
                self.breach(Invariant::MaximumRespected, what);
            }
            let waits = [AllocationState::Queued, AllocationState::Booked];
            let waiting = views
                .values()
                .filter(|v| v.pool == name && waits.contains(&v.state))
                .count();
            if waiting > (spec.max_queue + spec.max.0) as usize {
                let what = format!("{name} has {waiting} waiting");
                self.breach(Invariant::QueueBounded, what);
            }
        }
        let held: BTreeSet<InstanceId> = views
            .values()
            .filter(|view| view.state == AllocationState::Granted)
            .filter_map(|view| view.instance.as_ref().map(|instance| instance.id))
            .collect();
        for id in held {
            let record = core.allocator().instance(id);
            if !record.is_some_and(|record| matches!(record.phase, Phase::Ready { .. })) {
                let what = format!(
                    "{id} is granted and {:?}",
                    record.map(|record| record.phase)
                );
                self.breach(Invariant::AcknowledgedLeaseSurvives, what);
            }
        }
    }

    /// Nobody was given an instance before somebody more urgent who waited as long and whom it fits,
    /// in pools without reservations and while no failure put anybody back. Who shares an instance
    /// takes nothing from others.
    fn check_order(&mut self, views: &BTreeMap<AllocationId, Allocation>) {
        if self.failures_since_check {
            return;
        }
        let waiting: Vec<&Known> = self.known.values().filter(|known| known.queued).collect();
        let still_waits = |known: &Known| {
            views.get(&known.seen.id).map(|view| view.state) == Some(AllocationState::Queued)
        };
        let mut breaches = Vec::new();
        for served in &waiting {
            let Some(view) = views.get(&served.seen.id) else {
                continue;
            };
            let alone = matches!(
                view.state,
                AllocationState::Joined | AllocationState::Granted
            ) && !view.merged;
            if !alone || view.pool.as_str() == "reserved" {
                continue;
            }
            let passed_over = waiting.iter().find(|other| {
                other.request.priority() > served.request.priority()
                    && still_waits(other)
                    && self.fits(&view.pool, &other.request)
            });
            if let Some(other) = passed_over {
                breaches.push(format!(
                    "{} was served by {} before {}",
                    served.seen.id, view.pool, other.seen.id
                ));
            }
        }
        for what in breaches {
            self.breach(Invariant::QueueInOrder, what);
        }
    }

    /// Whether a pool may serve a request.
    fn fits(&self, pool: &PoolName, request: &AllocationRequest) -> bool {
        match request.target() {
            Target::Pool(name) => name == pool,
            Target::Requirements(asked) => self
                .specs
                .get(pool)
                .is_some_and(|spec| asked.met_by(&spec.shape, &spec.dependencies, &spec.labels)),
        }
    }

    /// Nobody waits in a queue whose merge key another holder has on an instance that it may share.
    fn check_merged(&mut self, core: &Core, views: &BTreeMap<AllocationId, Allocation>) {
        let live = |view: &&Allocation| {
            matches!(
                view.state,
                AllocationState::Joined | AllocationState::Granted
            )
        };
        let request_of = |id| self.known.get(id).map(|known: &Known| &known.request);
        let mut breaches = Vec::new();
        for waits in self.known.values().filter(|known| known.queued) {
            let still = views.get(&waits.seen.id);
            let (Some(key), Some(AllocationState::Queued)) =
                (waits.request.merge_key(), still.map(|view| view.state))
            else {
                continue;
            };
            let holder = views.values().filter(live).find(|view| {
                let same = request_of(&view.id).is_some_and(|request| {
                    request.tenant() == waits.request.tenant() && request.merge_key() == Some(key)
                });
                let instance = view
                    .instance
                    .as_ref()
                    .and_then(|held| core.allocator().instance(held.id));
                let spec = self.specs.get(&view.pool);
                let joinable = instance.is_some_and(|held| {
                    !held.draining && spec.is_some_and(|spec| held.revision == spec.revision)
                });
                same && joinable && self.fits(&view.pool, &waits.request)
            });
            if let Some(holder) = holder {
                let (waits, holder) = (waits.seen.id, holder.id);
                breaches.push(format!("{waits} waits although it may join {holder}"));
            }
        }
        for what in breaches {
            self.breach(Invariant::QueueInOrder, what);
        }
    }

    /// Every allocation went from what was seen last to where it is by a way that it may go.
    fn check_progress(&mut self, views: &BTreeMap<AllocationId, Allocation>, now: Timestamp) {
        let mut breaches = Vec::new();
        let mut forgotten = Vec::new();
        for (id, known) in &self.known {
            match views.get(id) {
                Some(view) => breaches.extend(self.wrong_way(known, view)),
                None if known.seen.state.is_live() && !self.may_have_ended(known) => {
                    breaches.push(format!("{id} was {:?} and is not known", known.seen.state));
                }
                None => forgotten.push(*id),
            }
        }
        for what in breaches {
            self.breach(Invariant::AcknowledgedLeaseSurvives, what);
        }
        for id in forgotten {
            self.known.remove(&id);
        }
        for (id, known) in &mut self.known {
            if let Some(view) = views.get(id) {
                known.earliest_expiry = view.lease_expires_at;
                known.seen = view.clone();
                known.queued = view.state == AllocationState::Queued && view.available_at <= now;
            }
        }
    }

    /// Whether it may have ended of itself and been forgotten since.
    fn may_have_ended(&self, known: &Known) -> bool {
        let expiry = known
            .earliest_expiry
            .unwrap_or_else(|| self.gives_up_at(known));
        expiry <= self.latest || known.release_sent || known.cancel_sent
    }

    fn wrong_way(&self, known: &Known, view: &Allocation) -> Option<String> {
        let seen = &known.seen;
        let allowed = match (seen.state, view.state) {
            (AllocationState::Granted, AllocationState::Granted) => {
                seen.instance == view.instance && seen.fencing_token == view.fencing_token
            }
            (before, after) if !before.is_live() => before == after,
            (_, AllocationState::Released) => known.release_sent,
            (_, AllocationState::Cancelled) => known.cancel_sent,
            (AllocationState::Granted, AllocationState::Expired) => {
                known.earliest_expiry.is_none_or(|at| at <= self.latest)
            }
            (_, AllocationState::Lost) => {
                let lost = view.instance.as_ref();
                lost.is_some_and(|instance| self.broken.contains(&instance.id))
            }
            (_, AllocationState::Rejected) => self.gives_up_at(known) <= self.latest,
            (AllocationState::Queued | AllocationState::Booked | AllocationState::Joined, _) => {
                true
            }
            (_, _) => false,
        };
        (!allowed).then(|| format!("{seen:?} became {view:?}"))
    }
}
