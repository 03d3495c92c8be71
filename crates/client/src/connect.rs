//! From settings to a connection.

use std::{iter::successors, sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tonic::{
    Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{
    Client, ClientBuilder, Error,
    address::Address,
    client::{Inner, Settings},
    credentials::Credentials,
};

/// A connection that says nothing is asked whether it lives, and given up if it does not say so.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const AGENT: &str = concat!("foreshadow-client/", env!("CARGO_PKG_VERSION"));

/// What is read from the settings, before there is a connection.
struct Parts {
    server: Arc<str>,
    endpoint: Endpoint,
    credentials: Credentials,
    settings: Settings,
}

impl ClientBuilder {
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
        let server = address.uri().to_string();
        let exposed = !(address.is_private() || self.plain_token);
        let credentials = Credentials::new(exposed.then(|| server.clone()));
        if let Some(token) = &self.token {
            credentials.show(token.as_str())?;
        }
        Ok(Parts {
            server: Arc::from(server),
            credentials,
            settings: self.settings,
            endpoint: self.endpoint(&address)?,
        })
    }

    fn endpoint(self, address: &Address) -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from(address.uri().clone())
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let mut endpoint = endpoint
            .user_agent(AGENT)
            .map_err(|error| refused(&error))?;
        if address.is_encrypted() {
            let tls = self.tls.config()?.timeout(self.connect_timeout);
            endpoint = endpoint.tls_config(tls).map_err(|error| refused(&error))?;
        }
        Ok(endpoint)
    }
}

impl Parts {
    fn client(self, calls: Channel) -> Client {
        let with_token = |channel| InterceptedService::new(channel, self.credentials.clone());
        Client::new(Inner {
            calls: with_token(calls),
            watches: with_token(self.endpoint.connect_lazy()),
            server: self.server,
            credentials: self.credentials,
            settings: self.settings,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
        })
    }
}

/// What the transport finds wrong with the settings.
fn refused(error: &tonic::transport::Error) -> Error {
    let first: &dyn std::error::Error = error;
    let causes = successors(Some(first), |error| error.source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    let problem = format!("{}; give certificates and keys in PEM", said.join(": "));
    Error::setup("ca_certificate or client_certificate", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(address: &str) -> ClientBuilder {
        Client::builder(address)
    }

    #[tokio::test]
    async fn a_token_goes_nowhere_in_the_open() {
        let builder = to("http://pools.example:7070").token("secret");
        let error = builder.clone().connect_lazy().unwrap_err().to_string();
        assert!(error.contains("https://"), "{error}");
        assert!(builder.allow_plain_token().connect_lazy().is_ok());
        assert!(to("127.0.0.1:7070").token("secret").connect_lazy().is_ok());
    }

    #[tokio::test]
    async fn a_token_that_is_exchanged_goes_nowhere_in_the_open_either() {
        let client = to("pools.example:7070").connect_lazy().unwrap();
        assert!(client.set_token("secret").is_err());
        let client = to("localhost:7070").connect_lazy().unwrap();
        client.set_token("secret").unwrap();
    }

    #[tokio::test]
    async fn a_certificate_that_is_none_is_told_at_once() {
        let authority = to("pools.example:7070").ca_certificate("no");
        let own = to("pools.example:7070").client_certificate("no", "pem");
        for builder in [authority, own] {
            let error = builder.connect_lazy().unwrap_err().to_string();
            assert!(
                error.contains("_certificate`") && error.contains("PEM"),
                "{error}"
            );
        }
    }
}
