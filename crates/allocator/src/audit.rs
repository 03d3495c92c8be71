//! The promises checked over the whole state: too slow for every decision, right for tests, for
//! simulation and after a recovery.

use std::collections::BTreeSet;

use foreshadow_types::Timestamp;

use crate::{
    Allocator, Invariant, Violation,
    state::{Instance, PoolIx, State},
};

impl Allocator {
    /// Every promise that the state as it is breaks at this time, after the deadlines up to it were
    /// kept.
    pub fn audit(&self, now: Timestamp) -> Vec<Violation> {
        let mut audit = Audit {
            state: &self.state,
            violations: Vec::new(),
        };
        for instance in self.state.instances.values() {
            audit.one_owner(instance);
            audit.shared_as_allowed(instance);
        }
        for &ix in self.state.pool_names.values() {
            audit.pool_adds_up(ix);
        }
        audit.allocations_hold();
        audit.deadlines(now);
        audit.keys();
        audit.recovery(self);
        audit.violations
    }
}

struct Audit<'a> {
    state: &'a State,
    violations: Vec<Violation>,
}

impl Audit<'_> {
    fn check(&mut self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(Violation {
                invariant,
                what: what(),
            });
        }
    }

    fn one_owner(&mut self, instance: &Instance) {
        let id = instance.record.id;
        for holder in instance.holders.iter() {
            let record = self
                .state
                .allocations
                .get(&holder)
                .map(|alloc| &alloc.record);
            let hold = record.and_then(|record| record.binding.hold());
            let current =
                hold.is_some_and(|hold| hold.instance == id && hold.token == instance.record.token);
            self.check(Invariant::OneOwnerPerInstance, current, || {
                format!("{id} lists {holder}, which has {hold:?}")
            });
            let tenant = record.map(|record| record.request.tenant());
            self.check(
                Invariant::OneOwnerPerInstance,
                tenant == instance.tenant.as_ref(),
                || {
                    format!(
                        "{id} of {:?} is held by {holder} of {tenant:?}",
                        instance.tenant
                    )
                },
            );
        }
    }

    /// Holders with one merge key count once; without a key, each counts.
    fn shared_as_allowed(&mut self, instance: &Instance) {
        let mut keys = BTreeSet::new();
        let mut units = 0;
        for holder in instance.holders.iter() {
            let request = self
                .state
                .allocations
                .get(&holder)
                .map(|alloc| &alloc.record.request);
            match request.and_then(|request| request.merge_key()) {
                Some(key) if !keys.insert(key) => {}
                Some(_) | None => units += 1,
            }
        }
        let shares = self.state.pool(instance.pool).spec().shares;
        self.check(
            Invariant::MergeOnlyWhenAllowed,
            units <= shares.max(1),
            || format!("{} is shared by {units}; {shares} may", instance.record.id),
        );
    }

    fn pool_adds_up(&mut self, ix: PoolIx) {
        let pool = self.state.pool(ix);
        let name = &pool.spec().name;
        let members = self
            .state
            .instances
            .values()
            .filter(|i| i.pool == ix)
            .count() as u32;
        self.check(Invariant::CountsConserved, pool.total() == members, || {
            format!(
                "pool {name} counts {} instances and has {members}",
                pool.total()
            )
        });
        let most = pool.spec().max_queue.saturating_add(pool.spec().max.0);
        self.check(Invariant::QueueBounded, pool.waiting() <= most, || {
            format!("pool {name} has {} waiting", pool.waiting())
        });
        self.check(
            Invariant::CountsConserved,
            pool.queue.len() as usize == pool.turns.len(),
            || {
                format!(
                    "pool {name} queues {} with {} turns",
                    pool.queue.len(),
                    pool.turns.len()
                )
            },
        );
    }

    fn allocations_hold(&mut self) {
        let state = self.state;
        for alloc in state.allocations.values() {
            let id = alloc.record.id;
            let Some(hold) = alloc.record.binding.hold() else {
                continue;
            };
            let instance = state.instances.get(&hold.instance);
            let listed = instance.is_some_and(|instance| instance.holders.contains(id));
            self.check(Invariant::AcknowledgedLeaseSurvives, listed, || {
                format!("{id} holds {}, which does not know it", hold.instance)
            });
        }
    }

    fn deadlines(&mut self, now: Timestamp) {
        let first = self.state.timers.first();
        self.check(
            Invariant::DeadlinesKept,
            first.is_none_or(|(at, _)| at > now),
            || format!("{first:?} was due before {now}"),
        );
    }

    fn keys(&mut self) {
        let state = self.state;
        for ((_, tenant, key), id) in state.idempotency.iter() {
            let request = state
                .allocations
                .get(&id)
                .map(|alloc| &alloc.record.request);
            let same = request.is_some_and(|request| {
                request.tenant() == tenant && request.idempotency_key() == Some(key)
            });
            self.check(Invariant::OneAllocationPerKey, same, || {
                format!("{key} leads to {id}")
            });
        }
    }

    fn recovery(&mut self, original: &Allocator) {
        let config = self.state.config.clone();
        let rebuilt = Allocator::recover(config, original.snapshot());
        let same = rebuilt.as_ref().is_ok_and(|rebuilt| {
            rebuilt.digest() == original.digest()
                && rebuilt.state.index_digest() == self.state.index_digest()
        });
        self.check(Invariant::RecoveryIsExact, same, || match rebuilt {
            Ok(_) => "the state rebuilt from a snapshot differs".to_owned(),
            Err(error) => error.to_string(),
        });
    }
}
