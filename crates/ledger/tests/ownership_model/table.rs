//! The rows of one log, as they lie in the database.

use std::collections::BTreeSet;

use crate::state::{Block, Memory};

/// A row; its number is its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    Block(Block),
    /// All that was before, as the instances that are held.
    Snapshot {
        number: u8,
        held: BTreeSet<u8>,
    },
}

impl Row {
    pub(crate) fn number(&self) -> u8 {
        match self {
            Self::Block(block) => block.number,
            Self::Snapshot { number, .. } => *number,
        }
    }

    pub(crate) fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot { .. })
    }
}

/// In order of their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn holds(&self, block: Block) -> bool {
        self.0.contains(&Row::Block(block))
    }

    pub(crate) fn is_taken(&self, number: u8) -> bool {
        self.0.iter().any(|row| row.number() == number)
    }

    /// Whether a snapshot would replace nothing but one.
    pub(crate) fn is_short(&self) -> bool {
        self.0.last().is_none_or(Row::is_snapshot)
    }

    pub(crate) fn insert(&mut self, row: Row) {
        let place = self
            .0
            .partition_point(|other| other.number() <= row.number());
        self.0.insert(place, row);
    }

    /// Adds a snapshot and removes what was before, in one transaction.
    pub(crate) fn replace(&mut self, number: u8, held: BTreeSet<u8>) {
        self.0.retain(|row| row.number() >= number);
        self.insert(Row::Snapshot { number, held });
    }

    /// What all rows amount to; none if one is missing. Rows before a snapshot came late, and are
    /// passed over.
    pub(crate) fn read(&self, passes_over: bool) -> Option<Memory> {
        let snapshot = self.0.iter().position(Row::is_snapshot);
        let first = snapshot.filter(|_| passes_over).unwrap_or(0);
        let rows = &self.0[first..];
        let mut memory = Memory::default();
        if let Some(first) = rows.first() {
            memory.next = first.number();
            if memory.next > 0 && !first.is_snapshot() {
                return None;
            }
        }
        for row in rows {
            if row.number() != memory.next {
                return None;
            }
            memory.next += 1;
            match row {
                Row::Block(block) => memory.apply(block.act),
                Row::Snapshot { held, .. } => memory.held.clone_from(held),
            }
        }
        Some(memory)
    }
}
