//! What the history holds of requests: journalled when they end or are refused, before the reply
//! that says so leaves. Those that have not ended are in the ledger.

use std::{collections::BTreeMap, io, sync::Arc};

use foreshadow_allocator::{
    AllocationRecord, AllocationRequest, Allocator, Binding, Event, EventKind, Target,
};
use foreshadow_history::{Journal, RequestRecord};
use foreshadow_types::{AllocationId, PoolName, Shape, Timestamp, UserId};

use crate::{
    collector::encode_requests,
    demand::{Recorded, RequestSeen},
};

/// A request that has not ended.
#[derive(Debug)]
struct Open {
    row: RequestRecord,
    granted_at: Option<Timestamp>,
}

/// Follows requests to their end and journals them.
#[derive(Debug)]
pub(crate) struct Recorder {
    open: BTreeMap<AllocationId, Open>,
    journal: Journal,
    unwritten: Vec<RequestRecord>,
    frame: Vec<u8>,
}

impl Recorder {
    pub(crate) fn new(journal: Journal) -> Self {
        Self {
            open: BTreeMap::new(),
            journal,
            unwritten: Vec::new(),
            frame: Vec::new(),
        }
    }

    /// Follows the requests that an earlier run left open; gives what is to be told of them.
    pub(crate) fn resume(&mut self, allocator: &Allocator) -> Vec<Recorded> {
        allocator
            .allocations()
            .filter_map(|record| self.opened(record, record.created_at, allocator))
            .collect()
    }

    /// Follows one event.
    pub(super) fn note(&mut self, event: &Event, allocator: &Allocator) -> Option<Recorded> {
        if let EventKind::AllocationCreated(record) = &event.kind {
            return self.opened(record, event.at, allocator);
        }
        if let EventKind::AllocationEnded { id, .. } = &event.kind {
            return self.closed(*id, event.at);
        }
        if let EventKind::AllocationBound {
            id,
            binding: Binding::Granted { .. },
        } = &event.kind
        {
            let open = self.open.get_mut(id)?;
            open.granted_at.get_or_insert(event.at);
        }
        None
    }

    fn opened(
        &mut self,
        record: &AllocationRecord,
        at: Timestamp,
        allocator: &Allocator,
    ) -> Option<Recorded> {
        let granted_at = match record.binding {
            // Of a lease that a snapshot holds the moment is not known: it was needed then.
            Binding::Granted { .. } => {
                let needed = record.request.availability_time();
                Some(needed.unwrap_or(at).max(record.created_at))
            }
            Binding::Ended { .. } => return None,
            Binding::Queued { .. } | Binding::Booked { .. } | Binding::Joined { .. } => None,
        };
        let row = row(&record.request, &record.pool, record.created_at, allocator);
        let open = Open {
            row: row.clone(),
            granted_at,
        };
        self.open.insert(record.id, open);
        Some(Recorded::Opened(record.id, row))
    }

    fn closed(&mut self, id: AllocationId, ended_at: Timestamp) -> Option<Recorded> {
        let Open {
            mut row,
            granted_at,
        } = self.open.remove(&id)?;
        row.hold = granted_at.map(|granted| ended_at.since(granted));
        self.unwritten.push(row.clone());
        Some(Recorded::Closed { id, row, ended_at })
    }

    /// The row of a request that was refused.
    pub(super) fn refused(&mut self, seen: &RequestSeen, allocator: &Allocator) -> RequestRecord {
        let row = row(&seen.request, &seen.pool, seen.at, allocator);
        self.unwritten.push(row.clone());
        row
    }

    /// Leaves a user out of the requests that have not ended.
    pub(super) fn forget(&mut self, user: &UserId) {
        for open in self.open.values_mut() {
            open.row.user.take_if(|known| known == user);
        }
    }

    /// Journals what has ended; how many rows, and whether they are kept.
    pub(super) fn write(&mut self) -> (usize, io::Result<()>) {
        let rows = self.unwritten.len();
        if rows == 0 {
            return (0, Ok(()));
        }
        encode_requests(&self.unwritten, &mut self.frame);
        self.unwritten.clear();
        (rows, self.journal.append(&self.frame))
    }

    /// Ends the segment, if it holds anything; gives the number of the latest that has ended.
    pub(super) fn end_segment(&mut self) -> io::Result<u64> {
        if self.journal.bytes() == 0 {
            return Ok(self.journal.number() - 1);
        }
        self.journal.rotate()
    }
}

/// With the shape that was asked for, or else that of the pool.
fn row(
    request: &Arc<AllocationRequest>,
    pool: &PoolName,
    at: Timestamp,
    allocator: &Allocator,
) -> RequestRecord {
    let shape = match request.target() {
        Target::Requirements(requirements) => Some(requirements.shape),
        Target::Pool(_) => None,
    };
    let shape = shape
        .filter(|shape| *shape != Shape::default())
        .or_else(|| allocator.pool_spec(pool).map(|spec| spec.shape))
        .filter(|shape| *shape != Shape::default());
    RequestRecord {
        at,
        user: request.user().cloned(),
        application: request.application().cloned(),
        pool: pool.clone(),
        hold: None,
        vcpus: shape.map(|shape| shape.vcpus),
        memory: shape.map(|shape| shape.memory),
        merge_key: None,
    }
}
