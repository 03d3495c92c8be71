//! The steps of a lease one by one, for programs that keep leases themselves.

use std::{
    future::{Future, pending},
    time::Duration,
};

use foreshadow_api::{
    duration_to_proto,
    v1::{
        self, CancelRequest, CheckTokenRequest, ReleaseRequest, RenewRequest,
        allocations_client::AllocationsClient,
    },
};
use futures::{Stream, stream::try_unfold};

use crate::{
    Allocation, Claim, Client, Error, State,
    call::Answer,
    watch::{Seen, Watcher},
};

/// What holds an instance, or waits for one.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) id: String,
    pub(crate) token: u64,
}

impl Hold {
    pub(crate) fn of(allocation: &Allocation) -> Self {
        Self {
            id: allocation.id.clone(),
            token: allocation.fencing_token,
        }
    }
}

impl Client {
    /// Claims an instance and leaves it to the caller to wait for it, renew it and give it back;
    /// [`lease`](Self::lease) does all of it.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::State;
    ///
    /// let mut held = client.allocate("notebook").await?;
    /// if held.state == State::Granted {
    ///     held = client.renew(&held, None).await?;
    ///     client.release(&held).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn allocate(&self, claim: impl Into<Claim>) -> Result<Allocation, Error> {
        Ok(self.allocated(claim.into(), pending()).await?.allocation)
    }

    /// Claims an instance. Once it is `given_up`, a server that is full is not asked again.
    pub(crate) async fn allocated(
        &self,
        claim: Claim,
        given_up: impl Future<Output = ()>,
    ) -> Result<Seen, Error> {
        let may_wait = claim.may_wait();
        // One that wants its answer at once is given up from the first.
        let given_up = async move {
            if may_wait {
                given_up.await;
            }
        };
        // The same message each time, and so the same key.
        let request = claim.into_wire();
        let attempt =
            |to, request| async move { AllocationsClient::new(to).allocate(request).await };
        let asked = self.ask_until(given_up, "Allocate", request, attempt);
        self.seen("Allocate", asked.await?)
    }

    /// Puts off the end of a lease: it lasts so long from now on, or as long as was claimed.
    ///
    /// ```no_run
    /// # use foreshadow_client::{Allocation, Client, Error};
    /// # async fn example(client: Client, held: Allocation) -> Result<(), Error> {
    /// let held = client.renew(&held, Some(std::time::Duration::from_secs(600))).await?;
    /// println!("until {:?}", held.lease_expires_at);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] for a stale token or a lease that has ended, [`Error::NotFound`], and those of
    /// any call.
    pub async fn renew(
        &self,
        held: &Allocation,
        lasts: Option<Duration>,
    ) -> Result<Allocation, Error> {
        Ok(self.renewed(held, lasts).await?.allocation)
    }

    pub(crate) async fn renewed(
        &self,
        held: &Allocation,
        lasts: Option<Duration>,
    ) -> Result<Seen, Error> {
        let request = renewal(&Hold::of(held), lasts);
        let asked = self.ask("Renew", request, |to, request| async move {
            AllocationsClient::new(to).renew(request).await
        });
        self.seen("Renew", asked.await?)
    }

    /// One attempt to put off the end of a lease, that is given up after so long.
    pub(crate) async fn renew_once(
        &self,
        hold: &Hold,
        lasts: Option<Duration>,
        patience: Duration,
    ) -> Result<Seen, Error> {
        let mut to = AllocationsClient::new(self.transport());
        let asked = self.attempt("Renew", patience, to.renew(renewal(hold, lasts)));
        self.seen("Renew", asked.await?)
    }

    /// Gives a lease back. One that was given back before is left as it is.
    ///
    /// ```no_run
    /// # use foreshadow_client::{Allocation, Client, Error};
    /// # async fn example(client: Client, held: Allocation) -> Result<(), Error> {
    /// client.release(&held).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] for a stale token or a lease that has ended, [`Error::NotFound`], and those of
    /// any call.
    pub async fn release(&self, held: &Allocation) -> Result<Allocation, Error> {
        let answer = self.give_back(&Hold::of(held)).await?;
        Ok(self.seen("Release", answer)?.allocation)
    }

    pub(crate) async fn give_back(&self, hold: &Hold) -> Result<Answer<v1::Allocation>, Error> {
        let request = ReleaseRequest {
            allocation_id: hold.id.clone(),
            fencing_token: hold.token,
        };
        let asked = self.ask("Release", request, |to, request| async move {
            AllocationsClient::new(to).release(request).await
        });
        asked.await
    }

    /// Takes back a request that waits or is booked. One that was taken back before is left as it is.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// client.cancel("a-42").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] if it has been granted or has ended, [`Error::NotFound`], and those of any
    /// call.
    pub async fn cancel(&self, allocation: &str) -> Result<Allocation, Error> {
        let request = CancelRequest {
            allocation_id: allocation.to_owned(),
        };
        let asked = self.ask("Cancel", request, |to, request| async move {
            AllocationsClient::new(to).cancel(request).await
        });
        Ok(self.seen("Cancel", asked.await?)?.allocation)
    }

    /// Takes back a request that is not waited for any more, whatever it has become.
    pub(crate) async fn withdraw(&self, allocation: &str) -> Result<(), Error> {
        let Err(refused) = self.cancel(allocation).await else {
            return Ok(());
        };
        if !matches!(refused, Error::Refused(_)) {
            return Err(refused);
        }
        // It was granted meanwhile, and its token is not known here; or it has ended.
        let patience = self.inner().settings.retry_for;
        let now = Watcher::new(self, allocation, Some(patience))
            .next()
            .await?;
        match now {
            Some(seen) if seen.allocation.state == State::Granted => {
                self.release(&seen.allocation).await.map(drop)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An allocation as it is now and after each change, until it has ended. A watch that breaks is
    /// taken up again; what changed meanwhile comes as one change.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use futures::TryStreamExt as _;
    ///
    /// let mut changes = std::pin::pin!(client.watch("a-42"));
    /// while let Some(now) = changes.try_next().await? {
    ///     println!("{}: {:?} in the queue", now.state, now.queue_position);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The stream ends with [`Error::NotFound`] for an unknown allocation, with [`Error::Unavailable`]
    /// if the server is away for longer than [`retry_for`](crate::ClientBuilder::retry_for), or with
    /// that of any call.
    pub fn watch(
        &self,
        allocation: &str,
    ) -> impl Stream<Item = Result<Allocation, Error>> + Send + use<> {
        let patience = self.inner().settings.retry_for;
        let watcher = Watcher::new(self, allocation, Some(patience));
        try_unfold(watcher, |mut watcher| async move {
            let next = watcher.next().await?;
            Ok(next.map(|seen| (seen.allocation, watcher)))
        })
    }

    /// What a resource asks before it serves a caller: whether the token is that of the present lease
    /// of its instance.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client, shown: u64) -> Result<(), foreshadow_client::Error> {
    /// client.check_token("i-42", shown).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] for a stale token, [`Error::NotFound`] if nobody holds the instance, and those
    /// of any call.
    pub async fn check_token(&self, instance: &str, fencing_token: u64) -> Result<(), Error> {
        let request = CheckTokenRequest {
            instance_id: instance.to_owned(),
            fencing_token,
        };
        let asked = self.ask("CheckToken", request, |to, request| async move {
            AllocationsClient::new(to).check_token(request).await
        });
        asked.await.map(drop)
    }
}

fn renewal(hold: &Hold, lasts: Option<Duration>) -> RenewRequest {
    RenewRequest {
        allocation_id: hold.id.clone(),
        fencing_token: hold.token,
        lease_duration: lasts.map(duration_to_proto),
    }
}
