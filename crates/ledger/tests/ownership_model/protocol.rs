//! What may happen next.

use stateright::{Model, Property};

use crate::{
    state::{Act, Block, Memory, Shard, State, Tenure, Written},
    table::Row,
};

pub(crate) const ONE_HOLDER: &str = "an instance has one holder";
pub(crate) const TOKENS: &str = "tokens grow from grant to grant";
pub(crate) const FENCED: &str = "a former owner appends nothing";
pub(crate) const KEPT: &str = "what is acknowledged is in the log";
pub(crate) const READ: &str = "an owner reads what was written";
pub(crate) const KNOWN: &str = "an owner knows what was acknowledged before";

/// A mistake in the protocol, which the check must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// An append does not look at the epoch.
    NoFence,
    /// A claim leaves the epoch as it is.
    SameEpoch,
    /// An append is acknowledged when it is sent.
    EarlyAnswer,
    /// The log is read before the claim.
    EarlyRead,
    /// A block is written whether or not one with its number is there.
    NoNumber,
    /// What came late, after the snapshot that replaced it, is read too.
    NothingPassedOver,
}

/// The protocol and how far it is followed.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) replicas: u8,
    pub(crate) shards: u8,
    pub(crate) instances: u8,
    /// How many ticks of the database's clock a lease lasts.
    pub(crate) lease: u8,
    pub(crate) most_claims: u8,
    pub(crate) longest_log: u8,
    /// Whether owners replace what was written by snapshots.
    pub(crate) snapshots: bool,
    pub(crate) bug: Bug,
}

/// Who does what: a replica and a shard, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The database's clock goes on.
    Tick,
    Claim(u8, u8),
    Read(u8, u8),
    Renew(u8, u8),
    /// Ends a tenure without a word: by its own clock the lease is over.
    LetGo(u8, u8),
    Release(u8, u8),
    Crash(u8),
    Send(u8, u8, Act),
    /// A transaction: it is not repeated before it has ended.
    Snapshot(u8, u8),
    /// The database carries out a statement.
    CarryOut(u8, Block),
    /// A replica learns what became of its append.
    Learn(u8, u8),
}

impl Protocol {
    pub(crate) fn of(replicas: u8, shards: u8) -> Self {
        Self {
            replicas,
            shards,
            instances: 1,
            lease: 1,
            most_claims: 3,
            longest_log: 3,
            snapshots: false,
            bug: Bug::None,
        }
    }

    fn shard_actions(&self, state: &State, replica: u8, shard: u8, actions: &mut Vec<Action>) {
        let row = &state.shards[usize::from(shard)];
        let Some(tenure) = state.tenure(replica, shard) else {
            let read = self.bug != Bug::EarlyRead || state.early(replica, shard).is_some();
            if !read {
                actions.push(Action::Read(replica, shard));
            } else if row.lease == 0 && row.claims < self.most_claims {
                actions.push(Action::Claim(replica, shard));
            }
            return;
        };
        actions.push(Action::LetGo(replica, shard));
        let Some(memory) = &tenure.memory else {
            actions.push(Action::Read(replica, shard));
            return;
        };
        actions.push(Action::Renew(replica, shard));
        if tenure.pending.is_some() {
            actions.push(Action::Learn(replica, shard));
            return;
        }
        actions.push(Action::Release(replica, shard));
        if memory.next < self.longest_log {
            let acts = (0..self.instances).map(|instance| memory.possible(instance));
            actions.extend(acts.map(|act| Action::Send(replica, shard, act)));
            if self.snapshots && !row.table.is_short() {
                actions.push(Action::Snapshot(replica, shard));
            }
        }
    }

    /// One statement: the row is free, and is ours from now on.
    fn claim(&self, state: &mut State, replica: u8, shard: u8) {
        let memory = state.take_early(replica, shard);
        let row = state.shard(shard);
        row.claims += 1;
        row.lease = self.lease;
        if self.bug != Bug::SameEpoch {
            row.epoch += 1;
        }
        let tenure = Tenure {
            epoch: row.epoch,
            claim: row.claims,
            memory,
            pending: None,
        };
        state.set_tenure(replica, shard, Some(tenure));
    }

    fn send(&self, state: &mut State, replica: u8, shard: u8, act: Act) {
        let Some(mut tenure) = state.tenure(replica, shard).cloned() else {
            return;
        };
        let number = tenure.memory.as_ref().map_or(0, |memory| memory.next);
        let block = Block {
            number,
            epoch: tenure.epoch,
            act,
            writer: replica,
            claim: tenure.claim,
        };
        tenure.pending = Some(block);
        state.set_tenure(replica, shard, Some(tenure));
        let row = state.shard(shard);
        row.sent.insert(block);
        if self.bug == Bug::EarlyAnswer {
            row.acknowledged.insert(block);
        }
    }

    /// One statement, which holds the row: its epoch is the block's, and the number is free.
    fn carry_out(&self, state: &mut State, shard: u8, block: Block) {
        let row = state.shard(shard);
        let fenced = block.epoch != row.epoch && self.bug != Bug::NoFence;
        let taken = row.table.is_taken(block.number) && self.bug != Bug::NoNumber;
        if fenced || taken || row.table.len() > usize::from(self.longest_log) {
            return;
        }
        let claim = row.claims;
        row.table.insert(Row::Block(block));
        // What was written once and replaced since is no news.
        let written = Written { block, claim };
        if self.bug == Bug::NoNumber || !row.log.iter().any(|other| other.block == block) {
            row.log.push(written);
        }
    }

    /// Reads the log, if the shard is still owned.
    fn read(&self, state: &mut State, replica: u8, shard: u8) {
        let row = state.shard(shard);
        let (epoch, read) = (row.epoch, row.log.len() as u8);
        let memory = row.table.read(self.bug != Bug::NothingPassedOver);
        let memory = memory.map(|memory| Memory { read, ..memory });
        row.misread |= memory.as_ref().map(|memory| &memory.held) != Some(&row.held());
        let Some(memory) = memory else { return };
        match state.tenure(replica, shard).cloned() {
            None => state.set_early(replica, shard, memory),
            Some(tenure) if tenure.epoch == epoch => {
                let memory = Some(memory);
                let tenure = Tenure { memory, ..tenure };
                state.set_tenure(replica, shard, Some(tenure));
            }
            Some(_) => state.set_tenure(replica, shard, None),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.replicas, self.shards)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        for replica in 0..self.replicas {
            actions.push(Action::Crash(replica));
            for shard in 0..self.shards {
                self.shard_actions(state, replica, shard, actions);
            }
        }
        for (shard, row) in (0..).zip(&state.shards) {
            actions.extend(row.sent.iter().map(|&block| Action::CarryOut(shard, block)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Claim(replica, shard) => self.claim(&mut state, replica, shard),
            Action::Read(replica, shard) => self.read(&mut state, replica, shard),
            Action::Renew(replica, shard) => extend(&mut state, replica, shard, self.lease),
            Action::Release(replica, shard) => extend(&mut state, replica, shard, 0),
            Action::LetGo(replica, shard) => state.set_tenure(replica, shard, None),
            Action::Crash(replica) => state.crash(replica),
            Action::Send(replica, shard, act) => self.send(&mut state, replica, shard, act),
            Action::Snapshot(replica, shard) => snapshot(&mut state, replica, shard),
            Action::CarryOut(shard, block) => self.carry_out(&mut state, shard, block),
            Action::Learn(replica, shard) => learn(&mut state, replica, shard),
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = Property::<Self>::always;
        let sometimes = Property::<Self>::sometimes;
        vec![
            always(ONE_HOLDER, |_, state| {
                state.every(Shard::has_one_holder_each)
            }),
            always(TOKENS, |_, state| state.every(Shard::has_growing_tokens)),
            always(FENCED, |_, state| state.every(Shard::was_written_by_owners)),
            always(KEPT, |_, state| {
                state.every(Shard::holds_what_was_acknowledged)
            }),
            always(READ, |_, state| state.every(Shard::was_read_as_written)),
            always(KNOWN, |_, state| state.owners_know_what_was_acknowledged()),
            sometimes("it happens that a shard passes on", |_, state| {
                state.some(Shard::has_passed_on)
            }),
            sometimes("it happens that a statement comes too late", |_, state| {
                state.some(Shard::has_a_late_statement)
            }),
            sometimes("it happens that two believe to be owners", |_, state| {
                state.has_two_owners()
            }),
        ]
    }
}

/// One transaction, under the epoch.
fn snapshot(state: &mut State, replica: u8, shard: u8) {
    let Some(mut tenure) = state.tenure(replica, shard).cloned() else {
        return;
    };
    let Some(memory) = &mut tenure.memory else {
        return;
    };
    let (number, held) = (memory.next, memory.held.clone());
    memory.next += 1;
    let row = state.shard(shard);
    let owned = row.epoch == tenure.epoch && !row.table.is_taken(number);
    if owned {
        row.table.replace(number, held);
    }
    state.set_tenure(replica, shard, owned.then_some(tenure));
}

/// One statement, under the epoch: the lease is as long as this again.
fn extend(state: &mut State, replica: u8, shard: u8, lease: u8) {
    let epoch = state.tenure(replica, shard).map(|tenure| tenure.epoch);
    let row = state.shard(shard);
    let owned = epoch == Some(row.epoch);
    if owned {
        row.lease = lease;
    }
    if !owned || lease == 0 {
        state.set_tenure(replica, shard, None);
    }
}

/// Looks for the block: it is there and is acknowledged, or never will be, or is sent again.
fn learn(state: &mut State, replica: u8, shard: u8) {
    let Some(mut tenure) = state.tenure(replica, shard).cloned() else {
        return;
    };
    let (Some(block), Some(memory)) = (tenure.pending.take(), &mut tenure.memory) else {
        return;
    };
    let row = state.shard(shard);
    if row.table.holds(block) {
        row.acknowledged.insert(block);
        memory.apply(block.act);
        memory.next += 1;
        state.set_tenure(replica, shard, Some(tenure));
    } else if row.epoch != block.epoch || row.table.is_taken(block.number) {
        state.set_tenure(replica, shard, None);
    }
}
