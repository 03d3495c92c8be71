//! How a client is set up.

use std::{env, fs, sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, Identity},
};

use crate::{
    Client, Error,
    address::Address,
    client::{Inner, Settings},
    credentials::Credentials,
    tls::Tls,
};

/// Where a server listens unless told otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7070";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_FOR: Duration = Duration::from_secs(30);
/// A connection that says nothing is asked whether it lives, and given up if it does not say so.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets up a [`Client`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use foreshadow_client::Client;
///
/// let client = Client::builder("https://pools.example:7070")
///     .token(std::fs::read_to_string("/etc/foreshadow/token")?.trim())
///     .ca_certificate(std::fs::read("/etc/foreshadow/ca.pem")?)
///     .retry_for(Duration::from_secs(60))
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    address: String,
    token: Option<Token>,
    tls: Tls,
    plain_token: bool,
    connect_timeout: Duration,
    settings: Settings,
}

/// A token that `Debug` does not print.
#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a token")
    }
}

impl ClientBuilder {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            token: None,
            tls: Tls::default(),
            plain_token: false,
            connect_timeout: CONNECT_TIMEOUT,
            settings: Settings {
                call_timeout: CALL_TIMEOUT,
                retry_for: RETRY_FOR,
            },
        }
    }

    /// What the command line reads too: `FORESHADOW_SERVER` (`127.0.0.1:7070` if it is not set),
    /// `FORESHADOW_TOKEN`, and `FORESHADOW_CA`, a file of certificates in PEM.
    ///
    /// # Errors
    /// [`Error::Setup`] if the file cannot be read.
    pub(crate) fn from_env() -> Result<Self, Error> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let address = set("FORESHADOW_SERVER");
        let mut builder = Self::new(address.as_deref().unwrap_or(DEFAULT_ADDRESS));
        if let Some(token) = set("FORESHADOW_TOKEN") {
            builder = builder.token(token);
        }
        if let Some(path) = set("FORESHADOW_CA") {
            let read = fs::read(&path);
            let pem =
                read.map_err(|error| Error::setup("FORESHADOW_CA", format!("{path}: {error}")))?;
            builder = builder.ca_certificate(pem);
        }
        Ok(builder)
    }

    /// The bearer token to show with each call. It goes only to an `https://` address or to this
    /// machine, see [`allow_plain_token`](Self::allow_plain_token).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// Lets the token travel over plain HTTP to another machine, where whoever is on the way can read
    /// and use it: for networks that encrypt by themselves, such as a service mesh.
    pub fn allow_plain_token(mut self) -> Self {
        self.plain_token = true;
        self
    }

    /// Certificates in PEM that the server's is signed by, in the place of those that this machine
    /// trusts.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.authorities = Some(pem.into());
        self
    }

    /// The certificate to come with, and its key, in PEM: for servers that know callers by theirs.
    pub fn client_certificate(mut self, pem: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.tls.identity = Some(Identity::from_pem(pem, key));
        self
    }

    /// The name in the server's certificate, where it is not the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.tls.name = Some(name.into());
        self
    }

    /// How long a connection may take to be made; 5 s unless given.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one attempt at a call may take until it is answered; 10 s unless given. Waiting for a
    /// grant is not a call: it takes as long as the claim may wait.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.settings.call_timeout = timeout;
        self
    }

    /// For how long a call is made again that finds the server away or full; 30 s unless given, zero
    /// for one attempt.
    pub fn retry_for(mut self, patience: Duration) -> Self {
        self.settings.retry_for = patience;
        self
    }

    /// Connects, so that a server which is not there is told at once.
    ///
    /// # Errors
    /// [`Error::Setup`] for a setting that is wrong, [`Error::Unavailable`] if no server answers.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(self) -> Result<Client, Error> {
        let parts = self.parts()?;
        let connected = parts.endpoint.connect().await;
        let channel = connected.map_err(|error| {
            Error::of_status("connect", &parts.server, &Status::from_error(error.into()))
        })?;
        Ok(parts.client(channel))
    }

    /// A client that connects at its first call.
    ///
    /// # Errors
    /// [`Error::Setup`] for a setting that is wrong.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let parts = self.parts()?;
        let channel = parts.endpoint.connect_lazy();
        Ok(parts.client(channel))
    }

    fn parts(self) -> Result<Parts, Error> {
        let address = Address::parse(&self.address, self.tls.is_set())?;
        Ok(Parts {
            credentials: self.credentials(&address)?,
            endpoint: self.endpoint(&address)?,
            server: Arc::from(address.uri().to_string()),
            token_allowed: self.may_show_token(&address),
            settings: self.settings,
        })
    }

    fn may_show_token(&self, address: &Address) -> bool {
        address.is_private() || self.plain_token
    }

    fn credentials(&self, address: &Address) -> Result<Credentials, Error> {
        let credentials = Credentials::default();
        if let Some(Token(token)) = &self.token {
            if !self.may_show_token(address) {
                return Err(plain(&self.address));
            }
            credentials.show(token)?;
        }
        Ok(credentials)
    }

    fn endpoint(&self, address: &Address) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from(address.uri().clone())
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let agent = concat!("foreshadow-client/", env!("CARGO_PKG_VERSION"));
        let endpoint = endpoint
            .user_agent(agent)
            .map_err(|error| refused(&error))?;
        if !address.is_encrypted() {
            return Ok(endpoint);
        }
        endpoint
            .tls_config(self.tls.clone().config()?)
            .map_err(|error| refused(&error))
    }
}

/// What is read from the settings, before there is a connection.
struct Parts {
    server: Arc<str>,
    endpoint: Endpoint,
    credentials: Credentials,
    token_allowed: bool,
    settings: Settings,
}

impl Parts {
    fn client(self, calls: Channel) -> Client {
        let with_token = |channel| InterceptedService::new(channel, self.credentials.clone());
        Client::new(Inner {
            calls: with_token(calls),
            watches: with_token(self.endpoint.connect_lazy()),
            server: self.server,
            credentials: self.credentials,
            token_allowed: self.token_allowed,
            settings: self.settings,
            runtime: Handle::current(),
        })
    }
}

/// The refusal to send a token where it can be read.
pub(crate) fn plain(address: &str) -> Error {
    let problem = format!(
        "would travel to {address} where anybody on the way can read it; give an https:// address, or \
         say `allow_plain_token`"
    );
    Error::setup("token", problem)
}

/// What the transport finds wrong with the settings for TLS.
fn refused(error: &tonic::transport::Error) -> Error {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
        error.source()
    });
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    let problem = format!("{}; give certificates and keys in PEM", said.join(": "));
    Error::setup("ca_certificate or client_certificate", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_goes_nowhere_in_the_open() {
        let builder = ClientBuilder::new("http://pools.example:7070").token("secret");
        let error = builder.clone().connect_lazy().unwrap_err().to_string();
        assert!(error.contains("https://"), "{error}");
        assert!(builder.allow_plain_token().connect_lazy().is_ok());
        let here = ClientBuilder::new("127.0.0.1:7070").token("secret");
        assert!(here.connect_lazy().is_ok());
    }

    #[tokio::test]
    async fn a_token_that_is_exchanged_goes_nowhere_in_the_open_either() {
        let client = ClientBuilder::new("pools.example:7070")
            .connect_lazy()
            .unwrap();
        assert!(client.set_token("secret").is_err());
        let client = ClientBuilder::new("localhost:7070").connect_lazy().unwrap();
        client.set_token("secret").unwrap();
    }

    #[tokio::test]
    async fn a_certificate_that_is_none_is_told_at_once() {
        let builder = ClientBuilder::new("pools.example:7070");
        let builder = builder
            .client_certificate("no", "pem")
            .ca_certificate("-----BEGIN");
        let error = builder.connect_lazy().unwrap_err().to_string();
        assert!(error.contains("PEM"), "{error}");
    }

    #[test]
    fn a_token_is_never_printed() {
        let text = format!("{:?}", ClientBuilder::new("localhost:1").token("secret"));
        assert!(!text.contains("secret"), "{text}");
    }
}
