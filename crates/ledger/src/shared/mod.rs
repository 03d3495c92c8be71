//! A ledger in one shard of a `PostgreSQL` that several servers share.
//!
//! Every write is checked against the epoch under which the shard is owned, in its own transaction.
//! When the connection is lost, it is made anew and found out what became of the last write.
//!
//! What is acknowledged is as durable as a commit of the server: where another server takes its place
//! when it fails, that must be a synchronous standby. A pooler in between must leave sessions as they
//! are.

mod failure;
mod patience;
mod read;
mod schema;
mod server;
mod session;
mod target;
mod tls;
mod worker;
mod write;

use std::{fmt, time::Duration};

pub use schema::{prepare_shared, prepare_training};
pub use target::connect_shared;

use self::{
    server::Server,
    session::Fence,
    target::Target,
    worker::{Request, Worker},
};
use crate::{
    Durability, LedgerError, Place,
    block::Block,
    store::{End, Store},
};

/// A shard of the ledger that replicas share, and under which epoch it is owned.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedShard {
    /// The server: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
    pub url: String,
    /// The shard.
    pub shard: u32,
    /// The epoch under which it is owned.
    pub epoch: u64,
    /// How long an operation is tried while the server cannot be reached or does not answer.
    pub patience: Duration,
}

impl fmt::Debug for SharedShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL holds a password.
        f.debug_struct("SharedShard")
            .field("shard", &self.shard)
            .field("epoch", &self.epoch)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A ledger in a shard.
#[derive(Debug)]
pub(crate) struct Shared {
    worker: Worker,
    place: Place,
}

impl Shared {
    pub(crate) fn open(shard: SharedShard) -> Result<Self, LedgerError> {
        let SharedShard {
            url,
            shard,
            epoch,
            patience,
        } = shard;
        let target = Target::of(&url)?;
        let place = Place::Shard {
            shard,
            server: target.server.clone(),
        };
        let refused = |why: String| LedgerError::Refused {
            place: place.clone(),
            why,
        };
        let fence = Fence::of(shard, epoch);
        let fence = fence.ok_or_else(|| refused("there is no such shard or epoch".to_owned()))?;
        let server = Server::new(target, fence, place.clone(), patience);
        let worker = Worker::start(server);
        let worker = worker.map_err(|error| refused(format!("no thread for it: {error}")))?;
        Ok(Self { worker, place })
    }
}

impl Store for Shared {
    fn place(&self) -> Place {
        self.place.clone()
    }

    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn end(&self) -> Result<End, LedgerError> {
        self.worker.ask(&self.place, Request::End)
    }

    fn append(&mut self, block: Block) -> Result<(), LedgerError> {
        let request = |answer| Request::Append(block, answer);
        self.worker.ask(&self.place, request)
    }

    fn replace(&mut self, first: i64, blocks: Vec<Block>) -> Result<(), LedgerError> {
        let request = |answer| Request::Replace(first, blocks, answer);
        self.worker.ask(&self.place, request)
    }

    fn blocks(&self) -> Result<Vec<Block>, LedgerError> {
        self.worker.ask(&self.place, Request::Blocks)
    }

    fn put_document(&mut self, name: &str, body: &[u8]) -> Result<(), LedgerError> {
        let request = |answer| Request::PutDocument(name.to_owned(), body.to_owned(), answer);
        self.worker.ask(&self.place, request)
    }

    fn remove_document(&mut self, name: &str) -> Result<(), LedgerError> {
        let request = |answer| Request::RemoveDocument(name.to_owned(), answer);
        self.worker.ask(&self.place, request)
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let request = |answer| Request::Document(name.to_owned(), answer);
        self.worker.ask(&self.place, request)
    }

    fn documents(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, LedgerError> {
        let request = |answer| Request::Documents(prefix.to_owned(), answer);
        self.worker.ask(&self.place, request)
    }

    fn compact(&mut self) -> Result<(), LedgerError> {
        self.worker.ask(&self.place, Request::Compact)
    }
}
