//! A claim that was made, and one that waits.

use std::time::Duration;

use crate::{
    Allocation, Claim, Client, Error, Lease, State,
    watch::{Seen, Watcher},
};

/// What a claim gave.
///
/// ```no_run
/// # use foreshadow_client::{Client, Error};
/// # async fn example(client: Client) -> Result<(), Error> {
/// let claimed = client.claim("notebook").await?;
/// println!("{} is {}", claimed.allocation().id, claimed.allocation().state);
/// let lease = claimed.granted().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a claim that is dropped is taken back"]
pub enum Claimed {
    /// An instance, at once.
    Granted(Lease),
    /// A place in the queue, an instance that is still starting, or a booking.
    Waiting(Waiting),
}

impl Claimed {
    /// The lease, once it is granted.
    ///
    /// # Errors
    /// As [`Waiting::granted`].
    pub async fn granted(self) -> Result<Lease, Error> {
        match self {
            Self::Granted(lease) => Ok(lease),
            Self::Waiting(waiting) => waiting.granted().await,
        }
    }

    /// What the server said of it at first.
    pub fn allocation(&self) -> &Allocation {
        match self {
            Self::Granted(lease) => lease.allocation(),
            Self::Waiting(waiting) => waiting.allocation(),
        }
    }
}

/// What of a claim matters after it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) lasts: Option<Duration>,
    may_be_booked: bool,
}

impl Terms {
    pub(crate) fn of(claim: &Claim) -> Self {
        Self {
            lasts: claim.lasts(),
            may_be_booked: claim.is_for_later(),
        }
    }
}

/// A claim that waits: queued, booked, or joined to an instance that is starting. It is watched, also
/// across restarts of the server, and taken back in the background when this is dropped, which
/// [`Client::close`] waits for.
///
/// ```no_run
/// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
/// use foreshadow_client::{Claimed, State};
///
/// if let Claimed::Waiting(mut waiting) = client.claim("notebook").await? {
///     while waiting.allocation().state == State::Queued {
///         println!("place {:?}", waiting.allocation().queue_position);
///         println!("ready in {:?}", waiting.allocation().estimated_wait);
///         waiting.changed().await?;
///     }
///     let lease = waiting.granted().await?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a claim that is dropped is taken back"]
pub struct Waiting {
    watcher: Box<Watcher>,
    latest: Seen,
    terms: Terms,
    /// Whether it is another's to give back, or nobody's.
    settled: bool,
}

impl Waiting {
    pub(crate) fn new(client: &Client, latest: Seen, terms: Terms) -> Self {
        let patience = client.inner().settings.retry_for;
        Self {
            watcher: Box::new(Watcher::new(client, &latest.allocation.id, Some(patience))),
            latest,
            terms,
            settled: false,
        }
    }

    /// The claim as it was last seen: its state, `queue_position` and `estimated_wait` among others.
    pub fn allocation(&self) -> &Allocation {
        &self.latest.allocation
    }

    /// Waits for the next change, and says what it is then. Dropping the future misses none.
    ///
    /// Once it is granted its lease begins to run out, and [`granted`](Self::granted) takes it.
    ///
    /// # Errors
    /// [`Error::NotGranted`] if it had ended, [`Error::Unavailable`] if the server is away for longer
    /// than [`retry_for`](crate::ClientBuilder::retry_for), and those of any call. After an error it
    /// waits on and may be asked again.
    pub async fn changed(&mut self) -> Result<&Allocation, Error> {
        loop {
            let Some(seen) = self.watcher.next().await? else {
                return Err(self.not_granted());
            };
            let changed = seen.allocation != self.latest.allocation;
            self.latest = seen;
            if changed {
                return Ok(&self.latest.allocation);
            }
        }
    }

    /// The lease, once it is granted. If the future is dropped before, the claim is taken back.
    ///
    /// ```no_run
    /// # use foreshadow_client::{Error, Waiting};
    /// # async fn example(waiting: Waiting) -> Result<(), Error> {
    /// let lease = waiting.granted().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotGranted`] if it ended before, and those of [`changed`](Self::changed); after any of
    /// them the claim is taken back.
    pub async fn granted(mut self) -> Result<Lease, Error> {
        while self.allocation().state != State::Granted {
            if self.allocation().state.is_over() {
                return Err(self.not_granted());
            }
            self.changed().await?;
        }
        if self.terms.may_be_booked {
            self.take_up().await?;
        }
        self.settled = true;
        Ok(Lease::of(
            self.watcher.client(),
            self.latest.clone(),
            self.terms.lasts,
        ))
    }

    /// A booking whose time has come is held for a short grace only, until it is renewed.
    async fn take_up(&mut self) -> Result<(), Error> {
        let renewed = self
            .watcher
            .client()
            .renewed(self.allocation(), self.terms.lasts);
        self.latest = renewed.await?;
        Ok(())
    }

    /// Takes the claim back; what was granted meanwhile is given back.
    ///
    /// ```no_run
    /// # use foreshadow_client::{Error, Waiting};
    /// # async fn example(waiting: Waiting) -> Result<(), Error> {
    /// waiting.cancel().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of any call; it is then tried again in the background.
    pub async fn cancel(mut self) -> Result<(), Error> {
        self.watcher
            .client()
            .withdraw(&self.latest.allocation.id)
            .await?;
        self.settled = true;
        Ok(())
    }

    fn not_granted(&self) -> Error {
        Error::NotGranted(Box::new(self.allocation().clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.settled || self.allocation().state.is_over() {
            return;
        }
        let client = self.watcher.client().clone();
        let id = self.allocation().id.clone();
        self.watcher.client().in_background(async move {
            // What fails is given back by the server, when its time is over.
            let _ = client.withdraw(&id).await;
        });
    }
}
