//! How a client is set up.

use std::{env, ffi::OsString, fs, path::PathBuf, time::Duration};

use tonic::transport::Identity;

use crate::{Error, address::Given, client::Settings, credentials::Token, tls::Tls};

/// Where a server listens unless told otherwise.
const DEFAULT_ADDRESS: &str = "127.0.0.1:7070";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_FOR: Duration = Duration::from_secs(30);

/// Sets up a [`Client`](crate::Client).
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
    pub(crate) address: Given,
    pub(crate) token: Option<Token>,
    pub(crate) tls: Tls,
    pub(crate) plain_token: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) settings: Settings,
}

impl ClientBuilder {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: Given::new(address),
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

    /// By the same variables as the command line: `FORESHADOW_SERVER` (`127.0.0.1:7070` if it is not
    /// set), `FORESHADOW_TOKEN`, and `FORESHADOW_CA`, a file of certificates in PEM.
    ///
    /// # Errors
    /// [`Error::Setup`] if the file cannot be read, or another value is not UTF-8.
    pub(crate) fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let address = text("FORESHADOW_SERVER", set("FORESHADOW_SERVER"))?;
        let mut builder = Self::new(address.as_deref().unwrap_or(DEFAULT_ADDRESS));
        if let Some(token) = text("FORESHADOW_TOKEN", set("FORESHADOW_TOKEN"))? {
            builder = builder.token(token);
        }
        if let Some(path) = set("FORESHADOW_CA").map(PathBuf::from) {
            let pem = fs::read(&path).map_err(|error| {
                Error::setup("FORESHADOW_CA", format!("{}: {error}", path.display()))
            })?;
            builder = builder.ca_certificate(pem);
        }
        Ok(builder)
    }

    /// The bearer token to show with each call. It goes only to an `https://` address or to this
    /// machine, see [`allow_plain_token`](Self::allow_plain_token).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token::new(token.into()));
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

    /// How long a connection may take to be made, and its encryption to be agreed on after that; 5 s
    /// each unless given.
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

    /// For how long a call is made again whose error may pass ([`Error::may_pass`]); 30 s unless given,
    /// zero for one attempt.
    pub fn retry_for(mut self, patience: Duration) -> Self {
        self.settings.retry_for = patience;
        self
    }
}

/// The value of a variable that must be text.
fn text(name: &'static str, value: Option<OsString>) -> Result<Option<String>, Error> {
    let text = value.map(OsString::into_string).transpose();
    // The value may be a secret, and is not printed.
    text.map_err(|_| Error::setup(name, "is not UTF-8; set it anew, or unset it"))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn with(name: &str, value: &[u8]) -> Result<ClientBuilder, Error> {
        let value = OsString::from_vec(value.to_vec());
        ClientBuilder::from_variables(|asked| (asked == name).then(|| value.clone()))
    }

    #[test]
    fn a_variable_that_is_not_text_is_told_and_not_passed_over() {
        for name in ["FORESHADOW_SERVER", "FORESHADOW_TOKEN"] {
            let error = with(name, b"secret\xff").unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("UTF-8"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_path_need_not_be_text() {
        let error = with("FORESHADOW_CA", b"/nowhere/\xff").unwrap_err();
        assert!(error.to_string().contains("/nowhere/"), "{error}");
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let builder = with("FORESHADOW_SERVER", b"").unwrap();
        assert_eq!(builder.address.as_str(), DEFAULT_ADDRESS);
        assert!(with("FORESHADOW_TOKEN", b"").unwrap().token.is_none());
    }
}
