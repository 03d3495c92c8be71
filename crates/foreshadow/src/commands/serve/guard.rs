//! Who may call the server: made from the configuration, and made anew when it is read again.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use foreshadow_access::{Directory, Grant, KeySet, Role, TokenHash, Verifier, check_token};
use foreshadow_server::{Access, Tls, TlsFiles};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    config::{AccessConfig, JwtConfig},
    failure::Failure,
};

/// How long a key set may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shortest time between two readings of a key set, however many tokens name unknown keys.
const CALM: Duration = Duration::from_secs(10);
/// The name of whoever shows the token of the command line.
const OPERATOR: &str = "token";

/// Whether the server starts or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    First,
    Again,
}

/// What guards the port.
#[derive(Debug)]
pub(super) struct Guard {
    /// None if everybody on this machine may do everything.
    pub(super) access: Option<Access>,
    pub(super) tls: Option<Tls>,
    files: Option<TlsFiles>,
    /// The token of the command line.
    token: Option<String>,
    /// Reads the key set again and again.
    refreshing: JoinSet<()>,
}

impl Guard {
    /// Makes what guards the port; it must be called within a runtime.
    pub(super) fn new(config: AccessConfig, token: Option<String>) -> Result<Self, Failure> {
        if let Some(token) = &token {
            check_token(token).map_err(|error| Failure::bad_input(format!("--token: {error}")))?;
        }
        let files = config.tls.clone();
        let tls = files.as_ref().map(Tls::read).transpose();
        let tls = tls.map_err(|error| Failure::bad_input(format!("[tls]: {error}")))?;
        let mut refreshing = JoinSet::new();
        let directory = directory(config, token.as_deref(), Start::First, &mut refreshing)?;
        let access = (!directory.is_empty()).then(|| Access::new(directory));
        Ok(Self {
            access,
            tls,
            files,
            token,
            refreshing,
        })
    }

    /// Takes up what the configuration says now; if it is at fault nothing changes.
    pub(super) fn reload(&mut self, config: AccessConfig) -> anyhow::Result<()> {
        let mut refreshing = JoinSet::new();
        if config.tls != self.files && (config.tls.is_none() || self.tls.is_none()) {
            bail!("[tls] begins or ends with a restart only");
        }
        let files = config.tls.clone();
        let directory = directory(config, self.token.as_deref(), Start::Again, &mut refreshing);
        let directory = directory.map_err(Failure::into_error)?;
        let Some(access) = &self.access else {
            if directory.is_empty() {
                return Ok(());
            }
            bail!("an open server begins to know its callers with a restart only");
        };
        if directory.is_empty() {
            bail!("nobody would be able to call; leave a token in the configuration");
        }
        if let (Some(tls), Some(files)) = (&self.tls, &files) {
            tls.reread(files)?;
        }
        access.replace(directory);
        self.files = files;
        self.refreshing = refreshing;
        Ok(())
    }
}

fn directory(
    config: AccessConfig,
    token: Option<&str>,
    start: Start,
    refreshing: &mut JoinSet<()>,
) -> Result<Directory, Failure> {
    let mut directory = Directory::default();
    for (hash, grant) in config.tokens {
        directory
            .add_token(hash, grant)
            .map_err(Failure::bad_input)?;
    }
    for (name, grant) in config.certificates {
        let added = directory.add_certificate(name, grant);
        added.map_err(Failure::bad_input)?;
    }
    if let Some(token) = token {
        let grant = Grant {
            name: OPERATOR.to_owned(),
            role: Role::Admin,
            tenant: None,
            users: None,
            rate: None,
        };
        let added = directory.add_token(TokenHash::of(token), grant);
        added.map_err(Failure::bad_input)?;
    }
    if let Some(jwt) = config.jwt {
        let (verifier, text) = verifier(&jwt, start)?;
        let verifier = Arc::new(verifier);
        directory.set_verifier(Arc::clone(&verifier));
        refreshing.spawn(refresh(verifier, jwt, text));
    }
    Ok(directory)
}

/// Verifies with the keys there are now. A file must be right; an issuer that does not answer when the
/// server starts may come back.
fn verifier(jwt: &JwtConfig, start: Start) -> Result<(Verifier, String), Failure> {
    let read = key_text(&jwt.keys).and_then(|text| Ok((parsed(&jwt.keys, &text)?, text)));
    let (keys, text) = match read {
        Ok(read) => read,
        Err(error) if start == Start::First && is_url(&jwt.keys) => {
            tracing::warn!(keys = jwt.keys, "no key set yet: {error:#}");
            (KeySet::none(), String::new())
        }
        Err(error) => return Err(Failure::bad_input(format!("[jwt] keys: {error:#}"))),
    };
    Ok((Verifier::new(jwt.rules.clone(), keys), text))
}

/// Reads the key set every so often, and soon after a token named a key that is not in it. Only a set
/// that has changed takes the place of the present one.
async fn refresh(verifier: Arc<Verifier>, jwt: JwtConfig, mut last: String) {
    let calm = CALM.min(jwt.refresh);
    loop {
        let mut waited = Duration::ZERO;
        loop {
            sleep(calm).await;
            waited += calm;
            if waited >= jwt.refresh || verifier.missed_a_key() {
                break;
            }
        }
        let keys = jwt.keys.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || key_text(&keys)).await else {
            return;
        };
        let changed = read.and_then(|text| {
            if text != last {
                verifier.replace_keys(parsed(&jwt.keys, &text)?);
                last = text;
            }
            Ok(())
        });
        if let Err(error) = changed {
            tracing::warn!(keys = jwt.keys, "the keys stay: {error:#}");
        }
    }
}

fn parsed(source: &str, text: &str) -> anyhow::Result<KeySet> {
    KeySet::parse(text).with_context(|| source.to_owned())
}

fn key_text(source: &str) -> anyhow::Result<String> {
    if is_url(source) {
        return fetched(source).with_context(|| format!("{source} cannot be fetched"));
    }
    let read = std::fs::read_to_string(Path::new(source));
    read.with_context(|| format!("{source} cannot be read"))
}

fn fetched(url: &str) -> anyhow::Result<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    Ok(agent.get(url).call()?.body_mut().read_to_string()?)
}

fn is_url(source: &str) -> bool {
    source.starts_with("https://") || source.starts_with("http://")
}
