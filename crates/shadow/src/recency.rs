//! Which entity was heard of longest ago: a doubly linked list over slots, constant time.

const NONE: u32 = u32::MAX;

/// Slots in the order of their last touch.
#[derive(Debug, Clone)]
pub(crate) struct Recency {
    /// For each slot, the one touched before it and the one touched after it.
    links: Vec<(u32, u32)>,
    oldest: u32,
    newest: u32,
}

impl Default for Recency {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }
}

impl Recency {
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Adds a slot that is not in the list as the newest.
    pub(crate) fn insert(&mut self, slot: u32) {
        let index = slot as usize;
        if self.links.len() <= index {
            self.links.resize(index + 1, (NONE, NONE));
        }
        self.links[index] = (self.newest, NONE);
        match self.newest {
            NONE => self.oldest = slot,
            newest => self.links[newest as usize].1 = slot,
        }
        self.newest = slot;
    }

    /// Takes a slot out of the list.
    pub(crate) fn remove(&mut self, slot: u32) {
        let (before, after) = self.links[slot as usize];
        match before {
            NONE => self.oldest = after,
            before => self.links[before as usize].1 = after,
        }
        match after {
            NONE => self.newest = before,
            after => self.links[after as usize].0 = before,
        }
    }

    /// Makes a slot that is in the list the newest.
    pub(crate) fn touch(&mut self, slot: u32) {
        if self.newest != slot {
            self.remove(slot);
            self.insert(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_untouched_is_the_oldest() {
        let mut recency = Recency::default();
        (0..4).for_each(|slot| recency.insert(slot));
        recency.touch(0);
        recency.remove(1);
        recency.touch(2);
        let mut order = Vec::new();
        while let Some(slot) = recency.oldest() {
            recency.remove(slot);
            order.push(slot);
        }
        assert_eq!(order, [3, 0, 2]);
    }
}
