//! An instance that is held.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::{
    Allocation, Client, Error, Lost, clock,
    keeper::{Held, Keeper, Order, Reply},
    watch::Seen,
};

/// An instance that is held. A task renews it well before it ends, until it is given back.
///
/// Give it back with [`release`](Self::release), which waits until that is done. When it is dropped, it
/// is given back in the background, which [`Client::close`] waits for. If this program dies, the lease
/// ends by itself when its time is over.
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
    /// None once the lease is given back.
    order: Option<oneshot::Sender<Order>>,
    tasks: TaskTracker,
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
            tasks: client.inner().tasks.clone(),
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
        if self.loss().is_some() {
            return Duration::ZERO;
        }
        let deadline = self.held.borrow().deadline;
        deadline.saturating_duration_since(clock::now())
    }

    /// Why it ended early, if it did: the instance may be another's since.
    pub fn loss(&self) -> Option<Lost> {
        // Asked first, for the keeper tells of a loss before it ends.
        let alone = self.held.has_changed().is_err();
        let lost = self.held.borrow().lost.clone();
        lost.or_else(|| alone.then(|| not_kept(self.id())))
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
        let id = self.id().to_owned();
        async move {
            // Without an answer the keeper has ended, and may have given it back.
            let _ = held.wait_for(|held| held.lost.is_some()).await;
            let last = held.borrow();
            let lost = last.lost.clone();
            lost.or_else(|| (!last.given_back).then(|| not_kept(&id)))
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
        self.give_back(Some(reply));
        match answer.await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Lost(
                self.loss().unwrap_or_else(|| not_kept(self.id())),
            )),
        }
    }

    /// Tells the keeper, if it was not told before. One that has ended has lost the lease.
    fn give_back(&mut self, reply: Option<Reply>) {
        if let Some(orders) = self.order.take() {
            let busy = self.tasks.token();
            let _ = orders.send(Order { reply, busy });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

/// The loss of a lease whose keeper has ended without a word.
fn not_kept(id: &str) -> Lost {
    Lost::NotRenewed {
        id: id.into(),
        message: "the client's runtime has ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use foreshadow_api::v1;
    use tokio::{runtime::Runtime, time::timeout};

    use super::*;
    use crate::{State, server_time::ServerTime, time::to_wire};

    const HOUR: Duration = Duration::from_hours(1);
    const PATIENCE: Duration = Duration::from_mins(1);

    fn granted(lasts: Duration) -> Seen {
        let end = clock::wall() + lasts;
        let wire = v1::Allocation {
            allocation_id: "a-1".to_owned(),
            state: State::Granted.to_wire().into(),
            lease_expires_at: Some(to_wire(end)),
            ..v1::Allocation::default()
        };
        Seen {
            allocation: Allocation::of_wire(wire).expect("its state is known"),
            time: ServerTime::read(None, clock::now(), clock::wall()),
        }
    }

    /// A lease in this runtime, of a server that never answers.
    fn lease(runtime: &Runtime, silent: &TcpListener, lasts: Duration) -> Lease {
        let _entered = runtime.enter();
        let address = silent.local_addr().unwrap().to_string();
        let builder = Client::builder(&address).connect_timeout(HOUR);
        let client = builder.call_timeout(HOUR).connect_lazy().unwrap();
        Lease::of(&client, granted(lasts), None)
    }

    fn silent() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn the_loss_of_a_lease_is_told_at_its_end() {
        let (runtime, silent) = (Runtime::new().unwrap(), silent());
        let lease = lease(&runtime, &silent, Duration::from_millis(300));
        let lost = runtime.block_on(async { timeout(PATIENCE, lease.lost()).await });
        let lost = lost.expect("it ends").expect("it is not given back");
        assert!(matches!(lost, Lost::NotRenewed { .. }), "{lost:?}");
        // The last attempt has ended with the lease, and not with the connection.
        assert!(lost.to_string().contains("no answer within"), "{lost}");
    }

    #[test]
    fn a_lease_that_no_runtime_keeps_any_more_is_lost() {
        let (runtime, other) = (Runtime::new().unwrap(), Runtime::new().unwrap());
        let silent = silent();
        let lease = lease(&runtime, &silent, Duration::from_mins(1));
        let lost = lease.lost();
        assert_eq!(lease.loss(), None);
        assert!(lease.time_left() > Duration::ZERO);
        drop(runtime);
        let loss = lease.loss();
        assert!(matches!(loss, Some(Lost::NotRenewed { .. })), "{loss:?}");
        assert_eq!(lease.time_left(), Duration::ZERO);
        assert_eq!(other.block_on(lost), loss);
        let refused = other.block_on(lease.release()).unwrap_err();
        assert!(matches!(refused, Error::Lost(_)), "{refused}");
    }
}
