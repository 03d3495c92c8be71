//! A connection to a server.

use std::{future::Future, sync::Arc, time::Duration};

use foreshadow_api::v1;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tonic::{service::interceptor::InterceptedService, transport::Channel};

use crate::{
    Allocation, Claim, Claimed, ClientBuilder, Error, Lease, State, Waiting, call::Answer,
    claiming::Claiming, credentials::Credentials, waiting::Terms, watch::Seen,
};

/// A connection that shows the client's token: what generated clients are made over.
pub type Transport = InterceptedService<Channel, Credentials>;

/// A connection to a server. Clones share it, and it is made again by itself when it breaks.
///
/// A call whose error may pass ([`Error::may_pass`]) is made again for [`ClientBuilder::retry_for`], with
/// pauses that grow and differ and are never shorter than the server asks for; no other call is.
///
/// One client watches about 4,000 leases and waiting claims at a time; make another for more. Leases
/// beyond that are renewed all the same, and their loss is told at the next renewal.
///
/// ```no_run
/// # async fn example() -> Result<(), foreshadow_client::Error> {
/// use foreshadow_client::Client;
///
/// let client = Client::connect("127.0.0.1:7070").await?;
/// let lease = client.lease("notebook").await?;
/// println!("{}", lease.address());
/// lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) server: Arc<str>,
    pub(crate) calls: Transport,
    /// A connection of their own, so that no call waits behind them.
    pub(crate) watches: Transport,
    pub(crate) credentials: Credentials,
    pub(crate) settings: Settings,
    /// Where leases are renewed and given back.
    pub(crate) runtime: Handle,
    /// What is still to be given back.
    pub(crate) tasks: TaskTracker,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) call_timeout: Duration,
    pub(crate) retry_for: Duration,
}

impl Client {
    /// A client of the server at this address, without a token and with the usual timeouts.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), foreshadow_client::Error> {
    /// # use foreshadow_client::Client;
    /// let client = Client::connect("127.0.0.1:7070").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Setup`] if it is no address, [`Error::Unavailable`] if no server answers.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Self::builder(address).connect().await
    }

    /// Settings for a client of the server at `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), foreshadow_client::Error> {
    /// # use foreshadow_client::Client;
    /// let client = Client::builder("https://pools.example:7070").token("…").connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn builder(address: &str) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// Settings from the environment, by the same variables as the command line: `FORESHADOW_SERVER`
    /// (`127.0.0.1:7070` if it is not set), `FORESHADOW_TOKEN`, and `FORESHADOW_CA`, a file of
    /// certificates in PEM. One that is empty is not set.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), foreshadow_client::Error> {
    /// # use foreshadow_client::Client;
    /// let client = Client::from_env()?.connect().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Setup`] if the file cannot be read, or the server or the token is not UTF-8.
    pub fn from_env() -> Result<ClientBuilder, Error> {
        ClientBuilder::from_env()
    }

    /// Claims an instance and waits until it is granted: [`claim`](Self::claim) and
    /// [`Claimed::granted`] in one.
    ///
    /// If the future is dropped before, the claim is taken back.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use foreshadow_client::Claim;
    ///
    /// let claim = Claim::pool("notebook").user("ada");
    /// let lease = tokio::time::timeout(Duration::from_secs(60), client.lease(claim)).await??;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`claim`](Self::claim) and [`Claimed::granted`].
    pub async fn lease(&self, claim: impl Into<Claim>) -> Result<Lease, Error> {
        self.claim(claim).await?.granted().await
    }

    /// Claims an instance: a [`Lease`] if one is ready, else a place to wait ([`Waiting`]).
    ///
    /// If the future is dropped before, what it would have given is given back, and a full server is not
    /// asked again.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::Claimed;
    ///
    /// match client.claim("notebook").await? {
    ///     Claimed::Granted(lease) => println!("at once: {}", lease.address()),
    ///     Claimed::Waiting(waiting) => println!("in {:?}", waiting.allocation().estimated_wait),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Exhausted`] if the queue is full, a quota is reached, or the claim may not wait and
    /// nothing is ready; [`Error::NotFound`] for an unknown pool; [`Error::Refused`] if no pool ever
    /// meets the requirements; [`Error::KeyMisused`]; [`Error::NotGranted`] for the idempotency key of
    /// an allocation that has ended; and those of any call.
    pub async fn claim(&self, claim: impl Into<Claim>) -> Result<Claimed, Error> {
        Claiming::new(self, claim.into()).await
    }

    /// Waits until all is given back that was dropped before, by any clone: leases, claims that waited
    /// and claims that were being made. It is what a program does last, before its runtime ends.
    ///
    /// What is still held is not waited for: leases, claims that wait, and claims that are being made for
    /// a future that is kept, polled or not.
    ///
    /// A server that is away is tried for [`ClientBuilder::retry_for`]; what could not be given back ends
    /// by itself when its time is over.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// let lease = client.lease("notebook").await?;
    /// drop(lease);
    /// client.close().await;
    /// # Ok(()) }
    /// ```
    pub async fn close(self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Shows another token from now on, on all clones: for tokens that expire.
    ///
    /// ```no_run
    /// # fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// client.set_token("the next one")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Setup`] if it has characters that no header may have, or if it would travel unencrypted
    /// to another machine.
    pub fn set_token(&self, token: &str) -> Result<(), Error> {
        self.inner.credentials.show(token)
    }

    /// The connection, for the generated clients of [`v1`](crate::v1) that this crate does not wrap,
    /// administration above all. It shows the client's token; nothing is tried again.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use foreshadow_client::v1::{DrainPoolRequest, admin_client::AdminClient};
    ///
    /// let mut admin = AdminClient::new(client.transport());
    /// let request = DrainPoolRequest { pool: "notebook".to_owned() };
    /// admin.drain_pool(request).await?;
    /// # Ok(()) }
    /// ```
    pub fn transport(&self) -> Transport {
        self.inner.calls.clone()
    }

    pub(crate) fn new(inner: Inner) -> Self {
        let inner = Arc::new(inner);
        Self { inner }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Does something that [`close`](Self::close) waits for.
    pub(crate) fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.spawn_on(work, &self.inner.runtime);
    }

    pub(crate) async fn claimed(
        &self,
        claim: Claim,
        given_up: impl Future<Output = ()>,
    ) -> Result<Claimed, Error> {
        let terms = Terms::of(&claim);
        let seen = self.allocated(claim, given_up).await?;
        let allocation = &seen.allocation;
        if allocation.state.is_over() {
            return Err(Error::NotGranted(Box::new(seen.allocation)));
        }
        if allocation.state == State::Granted {
            return Ok(Claimed::Granted(Lease::of(self, seen, terms.lasts)));
        }
        Ok(Claimed::Waiting(Waiting::new(self, seen, terms)))
    }

    pub(crate) fn seen(
        &self,
        call: &'static str,
        answer: Answer<v1::Allocation>,
    ) -> Result<Seen, Error> {
        let allocation = Allocation::of_wire(answer.message);
        Ok(Seen {
            allocation: allocation
                .ok_or_else(|| self.misunderstood(call, "its state is unknown"))?,
            time: answer.time,
        })
    }
}
