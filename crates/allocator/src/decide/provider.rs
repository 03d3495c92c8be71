//! What the provider reports.

use std::time::Duration;

use foreshadow_types::{AllocationId, InstanceId, Timestamp};

use crate::{
    AllocationState, Allocator, AllocatorError, Binding, Effect, EventKind, Phase, StopCause,
    state::{Instance, PoolIx},
};

/// Pause after the first failed start in a row; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between failing starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Allocator {
    fn known_instance(&self, id: InstanceId) -> Result<&Instance, AllocatorError> {
        let known = self.state.instances.get(&id);
        known.ok_or(AllocatorError::UnknownInstance(id))
    }

    /// It is up; `ready` is the event that says so.
    pub(crate) fn report_ready(
        &mut self,
        id: InstanceId,
        ready: EventKind,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        let instance = self.known_instance(id)?;
        let (ix, pool) = (instance.pool, instance.record.pool.clone());
        match instance.record.phase {
            Phase::Starting { .. } | Phase::Resetting { .. } => {
                self.decide(now, ready);
                self.to_hold.push_back(id);
                self.grant_joined(id, now);
                self.touched.insert(ix);
            }
            Phase::Stopping { .. } => self.effects.push_back(Effect::Stop { instance: id, pool }),
            Phase::Ready { .. } => {}
        }
        Ok(())
    }

    fn grant_joined(&mut self, instance: InstanceId, now: Timestamp) {
        for id in self.holders(instance) {
            let record = self.state.allocations[&id].record.clone();
            if let Binding::Joined { hold, until } = record.binding {
                let lasts = {
                    let spec = self.state.pool(self.state.allocations[&id].pool).spec();
                    super::place::first_span(&record, spec)
                };
                // The wait may have ended in the same moment; then its own deadline decides.
                if until < now {
                    continue;
                }
                let binding = Binding::Granted {
                    hold,
                    expires_at: now + lasts,
                };
                self.decide(now, EventKind::AllocationBound { id, binding });
                self.effects.push_back(Effect::Notify { allocation: id });
            }
        }
    }

    pub(super) fn holders(&self, instance: InstanceId) -> Vec<AllocationId> {
        let known = self.state.instances.get(&instance);
        known.map_or_else(Vec::new, |known| known.holders.iter().collect())
    }

    pub(crate) fn report_failed(
        &mut self,
        id: InstanceId,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        let instance = self.known_instance(id)?;
        if !matches!(instance.record.phase, Phase::Stopping { .. }) {
            self.fail(id, now);
        }
        Ok(())
    }

    pub(crate) fn report_gone(
        &mut self,
        id: InstanceId,
        now: Timestamp,
    ) -> Result<(), AllocatorError> {
        self.report_failed(id, now)?;
        let ix = self.known_instance(id)?.pool;
        self.decide(now, EventKind::InstanceGone { instance: id });
        self.touched.insert(ix);
        Ok(())
    }

    /// An instance does not work: its holders lose it, and it is stopped.
    pub(super) fn fail(&mut self, id: InstanceId, now: Timestamp) {
        let Some(instance) = self.state.instances.get(&id) else {
            return;
        };
        let ix = instance.pool;
        let starting = matches!(instance.record.phase, Phase::Starting { .. });
        let displaced = self.holders(id);
        for &holder in &displaced {
            self.displace(holder, ix, now);
        }
        self.stop(id, StopCause::Failed, now);
        for holder in displaced {
            self.join_another(holder, now);
        }
        if starting {
            self.block_starts(ix, now);
        }
    }

    fn block_starts(&mut self, ix: PoolIx, now: Timestamp) {
        let record = &self.state.pool(ix).record;
        let doublings = record.failed_starts_in_a_row.saturating_sub(1).min(16);
        let until = now + (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE);
        let pool = record.spec.name.clone();
        self.decide(
            now,
            EventKind::StartsBlocked {
                pool,
                until: Some(until),
            },
        );
    }

    pub(crate) fn unblock_starts(&mut self, ix: PoolIx, now: Timestamp) {
        let pool = self.pool_name(ix);
        self.decide(now, EventKind::StartsBlocked { pool, until: None });
        self.touched.insert(ix);
    }

    /// The holder of a failed instance: a lease is lost, a wait goes on elsewhere.
    fn displace(&mut self, id: AllocationId, ix: PoolIx, now: Timestamp) {
        let record = self.state.allocations[&id].record.clone();
        let binding = match record.binding {
            Binding::Granted { .. } => return self.end(id, AllocationState::Lost, now),
            Binding::Joined { .. } if self.state.pool(ix).record.retired => {
                return self.end(id, AllocationState::Rejected, now);
            }
            Binding::Joined { until, .. } => {
                let round = self.round_served(record.rank, ix);
                Binding::Queued { round, until }
            }
            Binding::Booked { firm, .. } => Binding::Booked {
                firm,
                prepare_at: now,
                promised: None,
            },
            Binding::Queued { .. } | Binding::Ended { .. } => return,
        };
        self.decide(now, EventKind::AllocationBound { id, binding });
        self.effects.push_back(Effect::Notify { allocation: id });
    }

    pub(crate) fn drain(&mut self, id: InstanceId, now: Timestamp) -> Result<(), AllocatorError> {
        let instance = self.known_instance(id)?;
        let ix = instance.pool;
        if !instance.record.draining {
            self.decide(now, EventKind::InstanceDraining { instance: id });
            self.touched.insert(ix);
        }
        Ok(())
    }
}
