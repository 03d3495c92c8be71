//! The server a URL names, and how to connect to it.

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;
use tokio_postgres::{
    Client, Config,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{failure::Failure, tls};
use crate::{LedgerError, Place};

const PORT: u16 = 5432;
/// How long a connection is silent before the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connects to the server that ledgers share, with encryption as the URL asks for it: `sslmode` is
/// `disable`, `prefer`, or one of `require`, `verify-ca` and `verify-full`, which all ask for a
/// certificate for the server's name, of a root of the system or in the file `sslrootcert`; a URL
/// that names this file asks for one too, unless it says `disable`. The second part is the connection
/// itself, to be polled as long as the client is used.
///
/// # Errors
/// [`LedgerError::Refused`] if the URL cannot be used or the server does not let us in;
/// [`LedgerError::Unreachable`] if it does not answer in time. No text holds the password.
pub async fn connect_shared(
    url: &str,
    patience: Duration,
) -> Result<(Client, impl Future<Output = Connected> + Send + use<>), LedgerError> {
    let target = Target::of(url)?;
    let connected = match timeout(patience, target.connect(patience)).await {
        Ok(connected) => connected.map_err(Failure::from),
        Err(_) => Err(Failure::TimedOut),
    };
    connected.map_err(|failure| {
        let server = target.server.clone();
        failure.into_error(Place::Server { server }, patience)
    })
}

/// How a connection ended.
pub(super) type Connected = Result<(), tokio_postgres::Error>;

/// A server, its database and how to come there.
pub(super) struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    /// Without user and password.
    pub(super) server: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)
    }
}

impl Target {
    pub(super) fn of(url: &str) -> Result<Self, LedgerError> {
        let (url, encryption) = Encryption::taken_from(url);
        let mut config = config(&url)?;
        let named = encryption.roots.is_some() && config.get_ssl_mode() != SslMode::Disable;
        if encryption.verified || named {
            config.ssl_mode(SslMode::Require);
        }
        let server = server(&config);
        let tls = match config.get_ssl_mode() {
            SslMode::Require => tls::verified(encryption.roots.as_deref()),
            _ => tls::opportunistic(),
        };
        let tls = tls.map_err(|why| LedgerError::Refused {
            place: Place::Server {
                server: server.clone(),
            },
            why,
        })?;
        // A standby that takes no writes is not where a ledger lies.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.keepalives_idle(KEEPALIVE);
        if config.get_application_name().is_none() {
            config.application_name("foreshadow");
        }
        Ok(Self {
            config,
            tls,
            server,
        })
    }

    /// Connects to the first of the hosts that takes writes. One that does not answer leaves the
    /// others their part of the time that there is.
    pub(super) async fn connect(
        &self,
        limit: Duration,
    ) -> Result<(Client, impl Future<Output = Connected> + Send + use<>), tokio_postgres::Error>
    {
        let mut config = self.config.clone();
        if config.get_connect_timeout().is_none() {
            let hosts = config.get_hosts().len().max(1) as u32;
            config.connect_timeout(limit / (2 * hosts));
        }
        config.connect(self.tls.clone()).await
    }
}

/// Nothing of a URL that cannot be read is shown: what is wrong may be a part of the password.
fn config(url: &str) -> Result<Config, LedgerError> {
    let config = url.parse::<Config>().ok();
    let readable = config.filter(|config| !server(config).contains('@'));
    readable.ok_or_else(|| LedgerError::Refused {
        place: Place::Server {
            server: "the URL of the shared ledger".to_owned(),
        },
        why: "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=… is expected, \
              with %XX for characters that mean something in a URL"
            .to_owned(),
    })
}

fn server(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(place, host)| {
        let port = ports.get(place).or_else(|| ports.first());
        let port = port.copied().unwrap_or(PORT);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let database = config.get_dbname().unwrap_or_default();
    format!("postgresql://{}/{database}", hosts.join(","))
}

/// What the URL says of encryption beyond what the client reads there by itself.
#[derive(Debug, Default)]
struct Encryption {
    verified: bool,
    roots: Option<PathBuf>,
}

impl Encryption {
    /// Takes these settings out of a URL.
    fn taken_from(url: &str) -> (String, Self) {
        let mut found = Self::default();
        let Some((address, settings)) = url.split_once('?') else {
            return (url.to_owned(), found);
        };
        let mut left = Vec::new();
        for setting in settings.split('&') {
            match setting.split_once('=') {
                Some(("sslmode", "verify-ca" | "verify-full")) => found.verified = true,
                Some(("sslrootcert", path)) => found.roots = Some(Path::new(path).to_owned()),
                _ => left.push(setting),
            }
        }
        (format!("{address}?{}", left.join("&")), found)
    }
}
