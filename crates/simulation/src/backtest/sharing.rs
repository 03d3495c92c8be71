//! Instances that requests hold, and who may share them: by merge key, or by the room that is left.
//!
//! As the allocator does it: a request takes the instance of the oldest request that holds its key;
//! else room on a ready instance, the fullest that has some; else what the pool has ready; else room on
//! an instance that is starting. An instance is given back by the last of its holders.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    num::{NonZeroU32, NonZeroU64},
};

use foreshadow_allocator::AllocatorConfig;
use foreshadow_planner::{MissCause, Outcome};

use super::fleet::Claim;

/// A request as far as sharing goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest {
    /// When it comes.
    pub(crate) at_ms: i64,
    /// How long it holds its instance once it is served, in milliseconds.
    pub(crate) hold_ms: i64,
    /// A hash of its merge key, if it has one.
    pub(crate) key: Option<NonZeroU64>,
}

/// The number of a held instance, in the order in which they were taken.
pub(crate) type Slot = u64;

/// When a request leaves an instance: (time, instance, key, request).
type Leave = (i64, Slot, Option<NonZeroU64>, u64);

/// What is held in one pool.
#[derive(Debug, Clone)]
pub(crate) struct Sharing {
    /// Requests at once on one instance, where they share by room.
    most: u32,
    /// Requests at once on one instance, where they share by key.
    most_merged: u32,
    held: BTreeMap<Slot, Held>,
    /// (key, request, instance) of those with a key, so that the oldest holder comes first.
    keys: BTreeSet<(NonZeroU64, u64, Slot)>,
    /// Ready instances with room, the fullest first, of these the one that was taken first.
    ready: BTreeSet<(Reverse<u32>, Slot)>,
    /// As `ready`, of instances that are starting.
    starting: BTreeSet<(Reverse<u32>, Slot)>,
    /// When instances become ready, soonest first.
    readying: BinaryHeap<Reverse<(i64, Slot)>>,
    /// When requests leave, soonest first.
    leaving: BinaryHeap<Reverse<Leave>>,
    next_slot: Slot,
    next_request: u64,
}

#[derive(Debug, Clone)]
struct Held {
    ready_ms: i64,
    /// When the last of its holders leaves.
    until_ms: i64,
    holders: u32,
    is_ready: bool,
    /// What went wrong with its start.
    trouble: Option<MissCause>,
}

impl Sharing {
    /// At most so many requests share an instance by room; one means that only keys merge.
    pub(crate) fn new(most: NonZeroU32) -> Self {
        Self {
            most: most.get(),
            most_merged: AllocatorConfig::default().max_merged,
            held: BTreeMap::new(),
            keys: BTreeSet::new(),
            ready: BTreeSet::new(),
            starting: BTreeSet::new(),
            readying: BinaryHeap::new(),
            leaving: BinaryHeap::new(),
            next_slot: 0,
            next_request: 0,
        }
    }

    /// Serves the request by an instance that others hold, if there is one for it; `pool_is_ready`
    /// says whether the pool has an instance ready that nobody holds.
    pub(crate) fn serve(
        &mut self,
        guest: &Guest,
        pool_is_ready: impl FnOnce() -> bool,
    ) -> Option<Claim> {
        self.advance(guest.at_ms);
        let first = |room: &BTreeSet<(Reverse<u32>, Slot)>| room.first().map(|&(_, slot)| slot);
        let slot = self
            .same_key(guest.key)
            .or_else(|| first(&self.ready))
            .or_else(|| first(&self.starting).filter(|_| !pool_is_ready()))?;
        let held = self.held.get(&slot)?;
        let claim = Claim::of_instance(held.ready_ms, guest.at_ms);
        let trouble = held.trouble.filter(|_| claim.outcome != Outcome::Hit);
        self.attach(slot, guest, claim.served_ms);
        Some(Claim { trouble, ..claim })
    }

    /// The request has got an instance of the pool, or one of its own: others may share it from now on.
    pub(crate) fn take(&mut self, guest: &Guest, claim: &Claim) -> Slot {
        let slot = self.next_slot;
        self.next_slot += 1;
        if self.most == 1 && guest.key.is_none() {
            return slot;
        }
        let held = Held {
            ready_ms: claim.served_ms,
            until_ms: claim.served_ms,
            holders: 0,
            is_ready: claim.served_ms <= guest.at_ms,
            trouble: claim.trouble,
        };
        if !held.is_ready {
            self.readying.push(Reverse((held.ready_ms, slot)));
        }
        self.held.insert(slot, held);
        self.attach(slot, guest, claim.served_ms);
        slot
    }

    /// When the last holder leaves an instance, if it is held.
    pub(crate) fn until_ms(&self, slot: Slot) -> Option<i64> {
        self.held.get(&slot).map(|held| held.until_ms)
    }

    /// Lets instances become ready and requests leave, up to and at `now`.
    fn advance(&mut self, now_ms: i64) {
        while let Some(&Reverse((ready_ms, slot))) = self.readying.peek() {
            if ready_ms > now_ms {
                break;
            }
            self.readying.pop();
            self.change(slot, |held| held.is_ready = true);
        }
        while let Some(&Reverse((end_ms, slot, key, request))) = self.leaving.peek() {
            if end_ms > now_ms {
                break;
            }
            self.leaving.pop();
            if let Some(key) = key {
                self.keys.remove(&(key, request, slot));
            }
            self.change(slot, |held| held.holders -= 1);
        }
    }

    fn same_key(&self, key: Option<NonZeroU64>) -> Option<Slot> {
        let key = key?;
        let mut holders = self.keys.range((key, 0, 0)..=(key, u64::MAX, u64::MAX));
        let &(_, _, slot) = holders.next()?;
        let held = self.held.get(&slot)?;
        (held.holders < self.most_merged).then_some(slot)
    }

    fn attach(&mut self, slot: Slot, guest: &Guest, served_ms: i64) {
        let end_ms = served_ms.saturating_add(guest.hold_ms);
        let request = self.next_request;
        self.next_request += 1;
        self.change(slot, |held| {
            held.holders += 1;
            held.until_ms = held.until_ms.max(end_ms);
        });
        if let Some(key) = guest.key {
            self.keys.insert((key, request, slot));
        }
        self.leaving
            .push(Reverse((end_ms, slot, guest.key, request)));
    }

    /// Changes an instance and keeps the order of those with room; nobody's is forgotten.
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Held)) {
        let Some(held) = self.held.get_mut(&slot) else {
            return;
        };
        let entry = |held: &Held| (Reverse(held.holders), slot);
        if held.is_ready {
            self.ready.remove(&entry(held));
        } else {
            self.starting.remove(&entry(held));
        }
        change(held);
        if held.holders == 0 {
            self.held.remove(&slot);
        } else if held.holders < self.most {
            let room = if held.is_ready {
                &mut self.ready
            } else {
                &mut self.starting
            };
            room.insert(entry(held));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(at_ms: i64, hold_ms: i64, key: u64) -> Guest {
        Guest {
            at_ms,
            hold_ms,
            key: NonZeroU64::new(key),
        }
    }

    fn sharing(most: u32) -> Sharing {
        Sharing::new(NonZeroU32::new(most).unwrap())
    }

    fn ready(at_ms: i64) -> Claim {
        Claim::of_instance(at_ms, at_ms)
    }

    #[test]
    fn a_key_joins_the_lease_that_holds_it_until_its_last_holder_leaves() {
        let mut sharing = sharing(1);
        let slot = sharing.take(&guest(0, 10, 7), &ready(0));
        let never = || panic!("a key comes before the pool");
        assert_eq!(sharing.serve(&guest(5, 10, 7), never), Some(ready(5)));
        assert_eq!(sharing.until_ms(slot), Some(15));
        assert_eq!(sharing.serve(&guest(6, 10, 8), || true), None);
        assert_eq!(sharing.serve(&guest(14, 1, 7), || true), Some(ready(14)));
        assert_eq!(sharing.serve(&guest(15, 1, 7), || true), None);
        assert_eq!(sharing.until_ms(slot), None);
    }

    #[test]
    fn the_fullest_ready_instance_with_room_is_shared_before_one_that_is_starting() {
        let mut sharing = sharing(3);
        let starting = sharing.take(&guest(0, 100, 0), &Claim::of_its_own(50));
        let first = sharing.take(&guest(1, 100, 0), &ready(1));
        let second = sharing.take(&guest(2, 100, 9), &ready(2));
        sharing.serve(&guest(3, 200, 9), || true).unwrap();
        let holders =
            |sharing: &Sharing| [starting, first, second].map(|slot| sharing.held[&slot].holders);
        assert_eq!(holders(&sharing), [1, 1, 2]);
        let mut next = || sharing.serve(&guest(4, 10, 0), || false).unwrap().served_ms;
        assert_eq!([next(), next(), next(), next()], [4, 4, 4, 50]);
        assert_eq!(holders(&sharing), [2, 3, 3]);
        assert_eq!(sharing.serve(&guest(4, 10, 0), || true), None);
    }

    #[test]
    fn nothing_is_kept_of_requests_that_nobody_can_share_with() {
        let mut sharing = sharing(1);
        sharing.take(&guest(0, 10, 0), &ready(0));
        assert!(sharing.held.is_empty() && sharing.leaving.is_empty());
    }
}
