//! What there is: rows and logs in a database, and what each replica has in memory.

use std::collections::BTreeSet;

use crate::table::Table;

/// What is done to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Act {
    Grant(u8),
    Return(u8),
}

/// A block, with one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block {
    pub(crate) number: u8,
    pub(crate) epoch: u8,
    pub(crate) act: Act,
    pub(crate) writer: u8,
    /// Under which claim it was decided. The protocol does not see it.
    pub(crate) claim: u8,
}

/// A block where it lies, and which claim held when it came there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Written {
    pub(crate) block: Block,
    pub(crate) claim: u8,
}

/// A shard in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Shard {
    pub(crate) epoch: u8,
    /// How long the lease still lasts by the database's clock.
    pub(crate) lease: u8,
    /// How often it was claimed. The protocol does not see it.
    pub(crate) claims: u8,
    pub(crate) table: Table,
    /// All that was ever written, as it came. The protocol does not see it.
    pub(crate) log: Vec<Written>,
    /// Whether an owner read something else than what was written. The protocol does not see it.
    pub(crate) misread: bool,
    /// Statements that were sent: each may be carried out from now on.
    pub(crate) sent: BTreeSet<Block>,
    /// What was told to those who asked.
    pub(crate) acknowledged: BTreeSet<Block>,
}

/// A replica's ownership of a shard, as it believes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tenure {
    pub(crate) epoch: u8,
    pub(crate) claim: u8,
    pub(crate) memory: Option<Memory>,
    /// The block whose outcome it waits for.
    pub(crate) pending: Option<Block>,
}

/// What an owner knows of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Memory {
    /// How much had been written when it was read. The protocol does not see it.
    pub(crate) read: u8,
    pub(crate) next: u8,
    pub(crate) held: BTreeSet<u8>,
}

impl Memory {
    /// What can be done to an instance next.
    pub(crate) fn possible(&self, instance: u8) -> Act {
        if self.held.contains(&instance) {
            return Act::Return(instance);
        }
        Act::Grant(instance)
    }

    pub(crate) fn apply(&mut self, act: Act) {
        match act {
            Act::Grant(instance) => self.held.insert(instance),
            Act::Return(instance) => self.held.remove(&instance),
        };
    }
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) shards: Vec<Shard>,
    replicas: Vec<Replica>,
}

/// What one replica has of each shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Replica {
    tenures: Vec<Option<Tenure>>,
    /// What it read before it became the owner, where that is the mistake.
    early: Vec<Option<Memory>>,
}

impl State {
    pub(crate) fn new(replicas: u8, shards: u8) -> Self {
        let replica = Replica::new(shards.into());
        Self {
            shards: vec![Shard::default(); shards.into()],
            replicas: vec![replica; replicas.into()],
        }
    }

    pub(crate) fn shard(&mut self, shard: u8) -> &mut Shard {
        &mut self.shards[usize::from(shard)]
    }

    pub(crate) fn tenure(&self, replica: u8, shard: u8) -> Option<&Tenure> {
        self.replicas[usize::from(replica)].tenures[usize::from(shard)].as_ref()
    }

    pub(crate) fn set_tenure(&mut self, replica: u8, shard: u8, tenure: Option<Tenure>) {
        self.replicas[usize::from(replica)].tenures[usize::from(shard)] = tenure;
    }

    pub(crate) fn early(&self, replica: u8, shard: u8) -> Option<&Memory> {
        self.replicas[usize::from(replica)].early[usize::from(shard)].as_ref()
    }

    pub(crate) fn set_early(&mut self, replica: u8, shard: u8, memory: Memory) {
        self.replicas[usize::from(replica)].early[usize::from(shard)] = Some(memory);
    }

    pub(crate) fn take_early(&mut self, replica: u8, shard: u8) -> Option<Memory> {
        self.replicas[usize::from(replica)].early[usize::from(shard)].take()
    }

    pub(crate) fn tick(&mut self) {
        for shard in &mut self.shards {
            shard.lease = shard.lease.saturating_sub(1);
        }
    }

    pub(crate) fn crash(&mut self, replica: u8) {
        self.replicas[usize::from(replica)] = Replica::new(self.shards.len());
    }

    pub(crate) fn every(&self, holds: impl Fn(&Shard) -> bool) -> bool {
        self.shards.iter().all(holds)
    }

    pub(crate) fn some(&self, holds: impl Fn(&Shard) -> bool) -> bool {
        self.shards.iter().any(holds)
    }

    pub(crate) fn owners_know_what_was_acknowledged(&self) -> bool {
        let known = |(shard, tenure): (&Shard, &Tenure)| shard.is_known_to(tenure);
        self.tenures().all(known)
    }

    pub(crate) fn has_two_owners(&self) -> bool {
        (0..self.shards.len()).any(|shard| {
            let believe = |replica: &&Replica| replica.tenures[shard].is_some();
            self.replicas.iter().filter(believe).count() > 1
        })
    }

    /// Each tenure with its shard.
    fn tenures(&self) -> impl Iterator<Item = (&Shard, &Tenure)> {
        self.replicas.iter().flat_map(|replica| {
            let tenures = self.shards.iter().zip(&replica.tenures);
            tenures.filter_map(|(shard, tenure)| Some((shard, tenure.as_ref()?)))
        })
    }
}

impl Replica {
    fn new(shards: usize) -> Self {
        Self {
            tenures: vec![None; shards],
            early: vec![None; shards],
        }
    }
}
