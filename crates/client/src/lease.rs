//! An instance that is held.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use tokio::sync::{oneshot, watch};

use crate::{
    Allocation, Client, Error, Lost, State, clock,
    keeper::{Held, Keeper, Reply},
    watch::Seen,
};

/// An instance that is held. A task renews it well before it ends, until it is given back.
///
/// Give it back with [`release`](Self::release), which waits until that is done. When it is dropped, it
/// is given back in the background, which needs the runtime to go on for a moment. If this program
/// dies, the lease ends by itself when its time is over.
///
/// ```no_run
/// # async fn train(address: &str, token: u64) {}
/// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
/// let lease = client.lease("notebook").await?;
/// // The work ends at once if the instance is lost.
/// lease.while_held(train(lease.address(), lease.fencing_token())).await?;
/// lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a lease that is dropped is given back"]
pub struct Lease {
    granted: Allocation,
    held: watch::Receiver<Held>,
    /// Its sending, and its end without one, make the keeper give the lease back.
    order: Option<oneshot::Sender<Reply>>,
}

/// Whether an allocation holds an instance that is ready.
pub(crate) fn is_granted(allocation: &Allocation) -> bool {
    allocation.state == State::Granted
}

impl Lease {
    /// A lease that was granted, kept from now on.
    pub(crate) fn of(client: &Client, seen: Seen, lasts: Option<Duration>) -> Self {
        let (sender, held) = watch::channel(Held::of(&seen));
        let (order, orders) = oneshot::channel();
        let keeper = Keeper::new(client, &seen.allocation, lasts, sender);
        client.inner().runtime.spawn(keeper.run(orders));
        Self {
            granted: seen.allocation,
            held,
            order: Some(order),
        }
    }

    /// Where the instance answers, such as `127.0.0.1:41234`.
    pub fn address(&self) -> &str {
        self.granted.address.as_deref().unwrap_or_default()
    }

    /// Rises with every lease of an instance. Send it along, so that the resource can refuse whoever
    /// held it before.
    pub fn fencing_token(&self) -> u64 {
        self.granted.fencing_token
    }

    /// The id of the allocation, such as `a-42`.
    pub fn id(&self) -> &str {
        &self.granted.id
    }

    /// Whether the instance was ready when it was asked for.
    pub fn is_warm(&self) -> bool {
        self.granted.warm
    }

    /// What the server said when it was granted.
    pub fn allocation(&self) -> &Allocation {
        &self.granted
    }

    /// When it ends unless it is renewed once more, by the server's clock.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.held.borrow().expires_at
    }

    /// How long it lasts from now on unless it is renewed once more; up to a second less than the
    /// server would say. Zero for a lease that is lost.
    pub fn time_left(&self) -> Duration {
        let held = self.held.borrow();
        let left = held.deadline.saturating_duration_since(clock::now());
        if held.lost.is_some() {
            Duration::ZERO
        } else {
            left
        }
    }

    /// Why it ended early, if it did: the instance may be another's since.
    pub fn loss(&self) -> Option<Lost> {
        self.held.borrow().lost.clone()
    }

    /// Waits until it is lost; none once it has been given back. The future may outlive the lease.
    ///
    /// ```no_run
    /// # async fn example(lease: foreshadow_client::Lease) {
    /// let lost = lease.lost();
    /// tokio::spawn(async move {
    ///     if let Some(lost) = lost.await {
    ///         eprintln!("stop: {lost}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn lost(&self) -> impl Future<Output = Option<Lost>> + Send + use<> {
        let mut held = self.held.clone();
        async move {
            let held = held.wait_for(|held| held.lost.is_some()).await;
            held.ok().and_then(|held| held.lost.clone())
        }
    }

    /// Does some work, and drops it as soon as the lease is lost.
    ///
    /// ```no_run
    /// # async fn train() -> u32 { 7 }
    /// # async fn example(lease: foreshadow_client::Lease) {
    /// match lease.while_held(train()).await {
    ///     Ok(score) => println!("{score}"),
    ///     Err(lost) => eprintln!("to be done again: {lost}"),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Lost`] if it was lost before the work was done.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        tokio::select! {
            biased;
            Some(lost) = self.lost() => Err(lost),
            done = work => Ok(done),
        }
    }

    /// Gives the instance back, and waits until the server has it. If the future is dropped, that goes
    /// on in the background.
    ///
    /// ```no_run
    /// # async fn example(lease: foreshadow_client::Lease) {
    /// if let Err(error) = lease.release().await {
    ///     eprintln!("{error}");
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Lost`] if the lease had ended before, so that what was done with the instance lately may
    /// have met another holder; and those of any call, after which it ends by itself.
    pub async fn release(mut self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        if let Some(order) = self.order.take()
            && order.send(reply).is_ok()
            && let Ok(outcome) = answer.await
        {
            return outcome;
        }
        Err(Error::Lost(self.loss().unwrap_or_else(|| {
            Lost::NotRenewed {
                id: self.id().into(),
                message: "the client's runtime has ended".to_owned(),
            }
        })))
    }
}
