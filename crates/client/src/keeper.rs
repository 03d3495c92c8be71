//! The task that keeps a lease: renews it, notices its loss, gives it back.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    Allocation, Client, Error, Lost, chance, clock, renewal,
    steps::Hold,
    watch::{Seen, Watcher},
};

/// Who waits for a lease to be given back.
pub(crate) type Reply = oneshot::Sender<Result<(), Error>>;

/// That a lease is to be given back.
#[derive(Debug)]
pub(crate) struct Order {
    /// None if nobody waits for it.
    pub(crate) reply: Option<Reply>,
    /// Kept until that is done.
    pub(crate) busy: TaskTrackerToken,
}

/// How long a watch is left alone that was refused, for a token that is not taken for one.
const WATCH_AGAIN: Duration = Duration::from_secs(10);

/// Where a lease stands.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// By the server's clock.
    pub(crate) expires_at: Option<SystemTime>,
    /// The same by ours, and never later.
    pub(crate) deadline: Instant,
    pub(crate) lost: Option<Lost>,
    /// Whether it is given back, so that it cannot be lost any more.
    pub(crate) given_back: bool,
}

impl Held {
    pub(crate) fn of(seen: &Seen) -> Self {
        let expires_at = seen.allocation.lease_expires_at;
        Self {
            expires_at,
            deadline: expires_at.map_or_else(clock::now, |at| seen.time.when(at)),
            lost: None,
            given_back: false,
        }
    }
}

pub(crate) struct Keeper {
    client: Client,
    hold: Hold,
    /// How long the lease lasts from each renewal, if that was claimed.
    lasts: Option<Duration>,
    held: watch::Sender<Held>,
}

impl Keeper {
    pub(crate) fn new(
        client: &Client,
        granted: &Allocation,
        lasts: Option<Duration>,
        held: watch::Sender<Held>,
    ) -> Self {
        Self {
            client: client.clone(),
            hold: Hold::of(granted),
            lasts,
            held,
        }
    }

    /// Keeps the lease until it is given back or lost.
    pub(crate) async fn run(self, mut orders: oneshot::Receiver<Order>) {
        let lost = tokio::select! {
            Ok(order) = &mut orders => return self.give_back(order).await,
            lost = self.renewed() => lost,
            lost = self.watched() => lost,
        };
        self.held.send_modify(|held| held.lost = Some(lost));
        // Whoever has just ordered it back finds the loss.
        drop(orders);
    }

    async fn give_back(&self, Order { reply, busy }: Order) {
        self.held.send_modify(|held| held.given_back = true);
        let outcome = match self.client.give_back(&self.hold).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.over(&error).map_or(error, Error::Lost)),
        };
        // Where nobody waits any more, the server ends the lease when its time is over.
        if let Some(reply) = reply {
            let _ = reply.send(outcome);
        }
        drop(busy);
    }

    /// Renews the lease again and again until it is lost.
    async fn renewed(&self) -> Lost {
        loop {
            let left = self.left();
            sleep(renewal::due_in(left, chance::share())).await;
            if let Err(lost) = self.renew().await {
                return lost;
            }
        }
    }

    /// Renews the lease once, however often that has to be tried.
    async fn renew(&self) -> Result<(), Lost> {
        let mut failures = 0;
        loop {
            let Err(error) = self.try_to_renew().await else {
                return Ok(());
            };
            if let Some(lost) = self.over(&error) {
                return Err(lost);
            }
            let left = self.left();
            if left.is_zero() {
                return Err(Lost::NotRenewed {
                    id: self.id(),
                    message: error.to_string(),
                });
            }
            let asked = error.retry_after();
            sleep(renewal::again_in(failures, asked, left, chance::share())).await;
            failures += 1;
        }
    }

    async fn try_to_renew(&self) -> Result<(), Error> {
        let sent = clock::now();
        let usual = self.client.inner().settings.call_timeout;
        let patience = usual.min(renewal::attempt_for(self.left()));
        let renewed = self.client.renew_once(&self.hold, self.lasts, patience);
        let seen = renewed.await?;
        let mut held = Held::of(&seen);
        // The lease goes on from when the server read this, which was not before it was sent.
        if let Some(lasts) = self.lasts {
            held.deadline = held.deadline.max(sent + lasts);
        }
        self.held.send_replace(held);
        Ok(())
    }

    /// Waits until the server says that the lease has ended. While it cannot be watched, renewals tell.
    async fn watched(&self) -> Lost {
        let mut watcher = Watcher::new(&self.client, &self.hold.id, None);
        loop {
            match watcher.next().await {
                Ok(Some(seen)) if seen.allocation.state.is_over() => {
                    let (id, state) = (self.id(), seen.allocation.state);
                    return Lost::Ended { id, state };
                }
                Ok(Some(_)) => {}
                Ok(None) => std::future::pending().await,
                Err(error) => match self.over(&error) {
                    Some(lost) => return lost,
                    None => sleep(WATCH_AGAIN).await,
                },
            }
        }
    }

    /// The loss that an error tells of; none if the lease may still be held. A token that is not taken,
    /// for one, may be exchanged before the lease is over.
    fn over(&self, error: &Error) -> Option<Lost> {
        match error {
            Error::Refused(failure) | Error::NotFound(failure) => Some(Lost::Refused {
                id: self.id(),
                message: failure.message.clone(),
            }),
            _ => None,
        }
    }

    fn left(&self) -> Duration {
        let deadline = self.held.borrow().deadline;
        deadline.saturating_duration_since(clock::now())
    }

    fn id(&self) -> Arc<str> {
        Arc::from(self.hold.id.as_str())
    }
}
