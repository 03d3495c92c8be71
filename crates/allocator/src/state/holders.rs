//! The allocations that hold an instance.

use std::collections::BTreeSet;

use foreshadow_types::AllocationId;

/// Ids in order. Most instances have one holder, which needs no memory of its own.
#[derive(Debug, Default)]
pub(crate) enum Holders {
    #[default]
    None,
    One(AllocationId),
    Several(BTreeSet<AllocationId>),
}

impl Holders {
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Several(ids) => ids.len() as u32,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn first(&self) -> Option<AllocationId> {
        self.iter().next()
    }

    pub(crate) fn contains(&self, id: AllocationId) -> bool {
        match self {
            Self::None => false,
            Self::One(only) => *only == id,
            Self::Several(ids) => ids.contains(&id),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = AllocationId> {
        let (one, several) = match self {
            Self::None => (None, None),
            Self::One(id) => (Some(*id), None),
            Self::Several(ids) => (None, Some(ids)),
        };
        one.into_iter()
            .chain(several.into_iter().flatten().copied())
    }

    pub(crate) fn insert(&mut self, id: AllocationId) {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(first) => *self = Self::Several(BTreeSet::from([*first, id])),
            Self::Several(ids) => {
                ids.insert(id);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: AllocationId) {
        match self {
            Self::One(only) if *only == id => *self = Self::None,
            Self::Several(ids) => {
                ids.remove(&id);
            }
            Self::None | Self::One(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_a_set_in_order() {
        let mut holders = Holders::default();
        let mut set = BTreeSet::new();
        for id in [5, 5, 2, 9, 2].map(AllocationId) {
            holders.insert(id);
            set.insert(id);
            assert!(holders.iter().eq(set.iter().copied()));
        }
        for id in [1, 5, 9, 2].map(AllocationId) {
            holders.remove(id);
            set.remove(&id);
            assert!(holders.iter().eq(set.iter().copied()));
            assert_eq!(holders.first(), set.first().copied());
            assert_eq!(holders.len() as usize, set.len());
            assert!(!holders.contains(id));
        }
        assert!(holders.is_empty());
    }
}
