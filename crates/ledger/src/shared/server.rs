//! The server as the ledger's thread uses it: one connection, made anew when it is lost, and each
//! operation tried again as long as the patience lasts.

use std::time::Duration;

use super::{
    failure::Failure,
    patience::Patience,
    session::{Fence, Session},
    target::Target,
};
use crate::{LedgerError, Place, block::Block, store::End};

pub(super) struct Server {
    target: Target,
    fence: Fence,
    place: Place,
    patience: Duration,
    session: Option<Session>,
}

type Outcome<T> = Result<T, LedgerError>;

impl Server {
    pub(super) fn new(target: Target, fence: Fence, place: Place, patience: Duration) -> Self {
        Self {
            target,
            fence,
            place,
            patience,
            session: None,
        }
    }

    /// Whether an append whose answer did not come was carried out is told by its block.
    pub(super) async fn append(&mut self, block: &Block) -> Outcome<()> {
        let attempt = async |session: &mut Session, patience: &mut Patience| {
            if patience.is_repeated() && patience.wait(session.holds(block)).await? {
                return Ok(());
            }
            let written = patience.wait(session.append(block)).await;
            settle(written, block, session, patience).await
        };
        self.persist(attempt).await
    }

    /// As [`Self::append`]: a snapshot is there as a whole, or not at all.
    pub(super) async fn replace(&mut self, first: i64, blocks: &[Block]) -> Outcome<()> {
        let last = &blocks[blocks.len() - 1];
        let attempt = async |session: &mut Session, patience: &mut Patience| {
            if patience.is_repeated() && patience.wait(session.holds(last)).await? {
                return Ok(());
            }
            let written = session.replace(first, blocks, patience).await;
            settle(written, last, session, patience).await
        };
        self.persist(attempt).await
    }

    pub(super) async fn put_document(&mut self, name: &str, body: &[u8]) -> Outcome<()> {
        self.persist(async |session, patience| session.put_document(name, body, patience).await)
            .await
    }

    pub(super) async fn remove_document(&mut self, name: &str) -> Outcome<()> {
        self.persist(async |session, patience| session.remove_document(name, patience).await)
            .await
    }

    pub(super) async fn blocks(&mut self) -> Outcome<Vec<Block>> {
        self.persist(async |session, patience| session.blocks(patience).await)
            .await
    }

    pub(super) async fn end_of_blocks(&mut self) -> Outcome<End> {
        self.persist(async |session, patience| patience.wait(session.end_of_blocks()).await)
            .await
    }

    pub(super) async fn document(&mut self, name: &str) -> Outcome<Option<Vec<u8>>> {
        self.persist(async |session, patience| patience.wait(session.document(name)).await)
            .await
    }

    pub(super) async fn documents(&mut self, prefix: &str) -> Outcome<Vec<(String, Vec<u8>)>> {
        self.persist(async |session, patience| patience.wait(session.documents(prefix)).await)
            .await
    }

    /// Asks the server to reclaim what was removed. Where it cannot now, or takes too long, it does so
    /// by itself later.
    pub(super) async fn compact(&mut self) -> Outcome<()> {
        let mut patience = Patience::begin(self.patience);
        let mut attempt = async |session: &mut Session, patience: &mut Patience| {
            patience.wait(session.compact()).await
        };
        let Err(failure) = self.attempt(&mut attempt, &mut patience).await else {
            return Ok(());
        };
        // The server may be at it still.
        self.session = None;
        if !failure.passes() {
            return Err(failure.into_error(self.place.clone(), self.patience));
        }
        tracing::warn!(place = %self.place, "what was removed is left to the server's own vacuum");
        Ok(())
    }

    pub(super) async fn end(&mut self) {
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }

    async fn persist<T>(
        &mut self,
        mut attempt: impl AsyncFnMut(&mut Session, &mut Patience) -> Result<T, Failure>,
    ) -> Outcome<T> {
        let mut patience = Patience::begin(self.patience);
        loop {
            let failure = match self.attempt(&mut attempt, &mut patience).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            // What a try left behind, an open transaction say, ends with its connection.
            self.session = None;
            if !failure.passes() || !patience.pause().await {
                return Err(failure.into_error(self.place.clone(), self.patience));
            }
        }
    }

    async fn attempt<T>(
        &mut self,
        attempt: &mut impl AsyncFnMut(&mut Session, &mut Patience) -> Result<T, Failure>,
        patience: &mut Patience,
    ) -> Result<T, Failure> {
        let begun = Session::begin(&self.target, self.fence, &self.place, self.patience);
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(patience.wait(begun).await?),
        };
        attempt(session, patience).await
    }
}

/// A block with this number is there already: an earlier try was carried out in the meantime, which
/// the next one finds, or someone else writes here.
async fn settle(
    written: Result<(), Failure>,
    block: &Block,
    session: &Session,
    patience: &Patience,
) -> Result<(), Failure> {
    match written {
        Err(failure) if failure.is_conflict() && !patience.is_repeated() => {
            let why = async { Err(session.written_by_another(block).await) };
            patience.wait(why).await
        }
        written => written,
    }
}
