//! An allocation watched, also across broken connections.

use std::time::Duration;

use foreshadow_api::v1::{self, WatchRequest, allocations_client::AllocationsClient};
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use crate::{
    Allocation, Client, Error, call::Answer, chance, clock, retry, server_time::ServerTime,
};

/// An allocation as the server said, and what the server's clock said.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) allocation: Allocation,
    pub(crate) time: ServerTime,
}

/// Watches one allocation until it has ended.
#[derive(Debug)]
pub(crate) struct Watcher {
    client: Client,
    id: String,
    /// For how long the server may be away; for ever if none.
    patience: Option<Duration>,
    open: Option<Open>,
    last: Option<Allocation>,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Open {
    changes: Streaming<v1::Allocation>,
    time: ServerTime,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    since: Instant,
    failures: u32,
}

impl Watcher {
    pub(crate) fn new(client: &Client, id: &str, patience: Option<Duration>) -> Self {
        Self {
            client: client.clone(),
            id: id.to_owned(),
            patience,
            open: None,
            last: None,
            outage: None,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The next change; at first the allocation as it is, none after its end. It may be dropped and
    /// called again without missing a change.
    ///
    /// # Errors
    /// Those of any call; it may be called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Seen>, Error> {
        while !self.is_over() {
            match self.receive().await {
                Ok(seen) => {
                    self.outage = None;
                    if self.last.as_ref() != Some(&seen.allocation) {
                        self.last = Some(seen.allocation.clone());
                        return Ok(Some(seen));
                    }
                }
                Err(error) => {
                    self.open = None;
                    self.pause(error).await?;
                }
            }
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.state.is_over())
    }

    async fn receive(&mut self) -> Result<Seen, Error> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(self.begin().await?),
        };
        let client = &self.client;
        let message = open.changes.message().await;
        let message = message.map_err(|status| client.refused("Watch", &status))?;
        let ended = || client.unavailable("Watch", "the watch ended before the allocation did");
        let answer = Answer {
            message: message.ok_or_else(ended)?,
            time: open.time,
        };
        client.seen("Watch", answer)
    }

    async fn begin(&self) -> Result<Open, Error> {
        let mut to = AllocationsClient::new(self.client.inner().watches.clone());
        let request = WatchRequest {
            allocation_id: self.id.clone(),
        };
        let patience = self.client.inner().settings.call_timeout;
        let begun = self.client.attempt("Watch", patience, to.watch(request));
        let answer = begun.await?;
        Ok(Open {
            changes: answer.message,
            time: answer.time,
        })
    }

    /// Waits before the watch is taken up again; gives the error back if that is in vain.
    async fn pause(&mut self, error: Error) -> Result<(), Error> {
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: clock::now(),
            failures: 0,
        });
        let patience = self.patience.unwrap_or(Duration::MAX);
        let left = patience.saturating_sub(outage.since.elapsed());
        let pause = retry::next(outage.failures, error.retry_after(), left, chance::share());
        outage.failures += 1;
        let Some(pause) = pause.filter(|_| error.may_pass()) else {
            self.outage = None;
            return Err(error);
        };
        sleep(pause).await;
        Ok(())
    }
}
