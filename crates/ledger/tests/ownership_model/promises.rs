//! What must always be so of a shard, and what should happen at times.

use std::collections::BTreeSet;

use crate::state::{Act, Block, Memory, Shard, Tenure, Written};

impl Shard {
    fn holds(&self, block: Block) -> bool {
        self.log.iter().any(|written| written.block == block)
    }

    /// The instances that are held after all that was written.
    pub(crate) fn held(&self) -> BTreeSet<u8> {
        let mut memory = Memory::default();
        for written in &self.log {
            memory.apply(written.block.act);
        }
        memory.held
    }

    pub(crate) fn was_read_as_written(&self) -> bool {
        !self.misread
    }

    /// Each grant finds its instance free, each return finds it held.
    pub(crate) fn has_one_holder_each(&self) -> bool {
        let mut held = BTreeSet::new();
        self.log.iter().all(|written| match written.block.act {
            Act::Grant(instance) => held.insert(instance),
            Act::Return(instance) => held.remove(&instance),
        })
    }

    /// A fencing token is an epoch and a number.
    pub(crate) fn has_growing_tokens(&self) -> bool {
        let token = |written: &Written| (written.block.epoch, written.block.number);
        let mut pairs = self.log.windows(2);
        pairs.all(|pair| token(&pair[0]) < token(&pair[1]))
    }

    pub(crate) fn was_written_by_owners(&self) -> bool {
        let mut log = self.log.iter();
        log.all(|written| written.block.claim == written.claim)
    }

    pub(crate) fn holds_what_was_acknowledged(&self) -> bool {
        self.acknowledged.iter().all(|&block| self.holds(block))
    }

    /// All that was acknowledged under earlier claims is in what this owner read.
    pub(crate) fn is_known_to(&self, tenure: &Tenure) -> bool {
        let Some(memory) = &tenure.memory else {
            return true;
        };
        let read = &self.log[..usize::from(memory.read)];
        let knows = |block: &Block| read.iter().any(|written| written.block == *block);
        let mut acknowledged = self.acknowledged.iter();
        acknowledged.all(|block| block.claim >= tenure.claim || knows(block))
    }

    pub(crate) fn has_passed_on(&self) -> bool {
        let mut writers = self.log.iter().map(|written| written.block.writer);
        let first = writers.next();
        writers.any(|writer| Some(writer) != first)
    }

    /// A statement of an earlier claim is on its way still.
    pub(crate) fn has_a_late_statement(&self) -> bool {
        let mut sent = self.sent.iter();
        sent.any(|block| block.claim < self.claims && !self.holds(*block))
    }
}
