//! The configuration file of `serve`: TOML, checked as a whole before any data is touched.

mod access;
#[cfg(feature = "cluster")]
mod cluster;
mod environment;
mod history;
mod limits;
mod pool;
mod shadow;
mod telemetry;
mod tenant;
mod text;
mod traces;

use std::path::{Path, PathBuf};

use foreshadow_engine::{
    EngineConfig,
    config::{Durability, OnShutdown},
};
use serde::Deserialize;
use thiserror::Error;
use toml::{Spanned, de::DeTable};

pub(crate) use access::{AccessConfig, JwtConfig};
use access::{RawAccess, RawCertificate, RawJwt, RawTls, RawToken};
#[cfg(feature = "cluster")]
use cluster::RawCluster;
#[cfg(feature = "cluster")]
pub(crate) use cluster::{ClusterConfig, Secret};
use environment::{Variable, put_over, variables};
use history::RawHistory;
use limits::RawLimits;
use pool::RawPool;
use shadow::{RawFollow, RawRetrain, RawSchedule, RawTrigger};
use telemetry::RawTelemetry;
pub(crate) use telemetry::TelemetryConfig;
use tenant::{RawPriority, RawTenant};
use text::Span;
use traces::RawTraces;
pub(crate) use traces::{Headers, TracesConfig};

use crate::device::Device;

/// Why a configuration was refused.
#[derive(Debug, Error)]
pub(crate) enum ConfigFileError {
    /// The file cannot be read.
    #[error("{path}: {source}; give a readable TOML file with --config")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or it or the environment has a key or value that is not understood.
    #[error("{path}{place}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// `, line N` or `, VARIABLE`, where it is known.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    tick: Option<Span>,
    horizon: Option<Span>,
    durability: RawDurability,
    on_shutdown: RawOnShutdown,
    seed: u64,
    /// A model directory to begin with.
    model: Option<PathBuf>,
    /// Whether the pretrained model is used until there is one of its own.
    pretrained: Option<bool>,
    /// Where forecasts are computed.
    device: Device,
    /// Request histories that the planners learn from when they start.
    demand: Vec<String>,
    retrain: Option<Spanned<RawRetrain>>,
    /// How long the history is kept; for ever unless given.
    keep_history: Option<Span>,
    /// How long it is remembered why pools had the size they had; 30 days unless given.
    keep_plans: Option<Span>,
    /// How long it is remembered who changed what; 400 days unless given.
    keep_audit: Option<Span>,
    pool: Vec<Spanned<RawPool>>,
    trigger: Vec<Spanned<RawTrigger>>,
    schedule: Vec<Spanned<RawSchedule>>,
    follow: Vec<Spanned<RawFollow>>,
    tenant: Vec<Spanned<RawTenant>>,
    priority: Option<Spanned<RawPriority>>,
    token: Vec<Spanned<RawToken>>,
    certificate: Vec<Spanned<RawCertificate>>,
    jwt: Option<Spanned<RawJwt>>,
    tls: Option<Spanned<RawTls>>,
    telemetry: RawTelemetry,
    history: RawHistory,
    limits: RawLimits,
    traces: Option<Spanned<RawTraces>>,
    cluster: Option<Spanned<RawCluster>>,
}

/// Replicas are for builds that have them.
#[cfg(not(feature = "cluster"))]
type RawCluster = toml::Table;

/// What a configuration file says.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    pub(crate) engine: EngineConfig,
    /// Where forecasts are to be computed; nobody has looked yet whether they can be.
    pub(crate) device: Device,
    pub(crate) telemetry: TelemetryConfig,
    pub(crate) access: AccessConfig,
    /// Where traces go, if anywhere.
    pub(crate) traces: Option<TracesConfig>,
    /// What this server is among others, if it is one of several.
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<ClusterConfig>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawDurability {
    #[default]
    Fsync,
    Memory,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawOnShutdown {
    #[default]
    StopWarm,
    Keep,
    StopAll,
}

/// Reads and checks a configuration file, over which variables of the environment take precedence; without
/// either there are no pools.
///
/// # Errors
/// [`ConfigFileError`] names the file, the line and how to mend it.
pub(crate) fn load(path: Option<&Path>, data: &Path) -> Result<ServeConfig, ConfigFileError> {
    let given =
        variables(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
    let malformed = |path: &Path, text: &str, error: Fault| ConfigFileError::Malformed {
        path: path.to_owned(),
        place: error
            .offset
            .map_or_else(String::new, |at| place(text, &given, at)),
        reason: error.reason,
    };
    let Some(path) = path else {
        return parse_with("", data, Path::new(""), &given)
            .map_err(|error| malformed(Path::new("defaults"), "", error));
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    parse_with(&text, data, base, &given).map_err(|error| malformed(path, &text, error))
}

/// Where a fault lies: in the text, or behind it in the variables that were put over it.
fn place(text: &str, given: &[Variable], offset: usize) -> String {
    let variable = offset
        .checked_sub(behind(text))
        .and_then(|at| given.get(at));
    match variable {
        Some(variable) => format!(", {}", variable.name),
        None => format!(", line {}", line_of(text, offset)),
    }
}

/// Where no fault of the text itself lies, not even one at its end.
fn behind(text: &str) -> usize {
    text.len() + 1
}

/// What is wrong, and at which byte where that is known.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    offset: Option<usize>,
    reason: String,
}

impl Fault {
    fn at(offset: usize, reason: String) -> Self {
        Self {
            offset: Some(offset),
            reason,
        }
    }
}

/// Checks the text of a configuration that no files belong to.
#[cfg(test)]
fn parse(text: &str, data: &Path) -> Result<ServeConfig, Fault> {
    parse_with(text, data, Path::new(""), &[])
}

/// The text of a configuration with what variables put over it, not checked yet.
fn read(text: &str, given: &[Variable]) -> Result<RawConfig, Fault> {
    let malformed = |error: toml::de::Error| Fault {
        offset: error.span().map(|span| span.start),
        reason: error.message().to_owned(),
    };
    let mut table = DeTable::parse(text).map_err(malformed)?;
    put_over(table.get_mut(), given, behind(text))?;
    RawConfig::deserialize(toml::de::Deserializer::from(table)).map_err(malformed)
}

/// Checks the text of a configuration and what variables put over it; files that belong to it are looked
/// for from `base`.
fn parse_with(
    text: &str,
    data: &Path,
    base: &Path,
    given: &[Variable],
) -> Result<ServeConfig, Fault> {
    let raw = read(text, given)?;
    let mut config = EngineConfig::new(data);
    if cfg!(feature = "gpu") {
        // The address space of a process that uses a GPU says nothing of its memory.
        config.retraining.memory = None;
    }
    config.seed = raw.seed;
    config.model_dir = raw.model;
    config.pretrained = raw.pretrained.unwrap_or(config.pretrained);
    config.demand_import = raw.demand;
    config.durability = match raw.durability {
        RawDurability::Fsync => Durability::Fsync,
        RawDurability::Memory => Durability::Memory,
    };
    config.on_shutdown = match raw.on_shutdown {
        RawOnShutdown::StopWarm => OnShutdown::StopWarm,
        RawOnShutdown::Keep => OnShutdown::Keep,
        RawOnShutdown::StopAll => OnShutdown::StopAll,
    };
    config.pools = each(raw.pool, |pool| pool.check(base))?;
    config.shadow.triggers = each(raw.trigger, RawTrigger::check)?;
    config.shadow.schedules = each(raw.schedule, RawSchedule::check)?;
    config.shadow.follows = each(raw.follow, RawFollow::check)?;
    for tenant in raw.tenant {
        let start = tenant.span().start;
        let (name, quota) = tenant
            .into_inner()
            .check()
            .map_err(|reason| Fault::at(start, reason))?;
        if config.tenants.insert(name.clone(), quota).is_some() {
            let reason = format!("tenant `{name}` is defined twice; give each one table");
            return Err(Fault::at(start, reason));
        }
    }
    if let Some(priority) = raw.priority {
        let start = priority.span().start;
        let applied = priority.into_inner().apply(&mut config);
        applied.map_err(|reason| Fault::at(start, reason))?;
    }
    if let Some(keep) = raw.keep_history {
        config.limits.history = Some(keep.0);
    }
    if let Some(keep) = raw.keep_plans {
        config.limits.plans = keep.0;
    }
    if let Some(keep) = raw.keep_audit {
        config.limits.audit = keep.0;
    }
    raw.history.apply(&mut config);
    raw.limits.apply(&mut config);
    if let Some(tick) = raw.tick {
        config.shadow.tick = tick.0;
    }
    if let Some(horizon) = raw.horizon {
        config.shadow.horizon = horizon.0;
    }
    if let Some(retrain) = raw.retrain {
        let start = retrain.span().start;
        let applied = retrain.into_inner().apply(&mut config);
        applied.map_err(|reason| Fault::at(start, reason))?;
    }
    let access = RawAccess {
        tokens: raw.token,
        certificates: raw.certificate,
        jwt: raw.jwt,
        tls: raw.tls,
    };
    #[cfg(feature = "cluster")]
    let cluster = raw.cluster.map(|raw| {
        let start = raw.span().start;
        let applied = raw.into_inner().apply(&mut config);
        applied.map_err(|reason| Fault::at(start, reason))
    });
    #[cfg(not(feature = "cluster"))]
    if let Some(raw) = raw.cluster {
        let reason = "`[cluster]` needs a binary built with it: \
                      `cargo build --release -p foreshadow --features cluster`";
        return Err(Fault::at(raw.span().start, reason.to_owned()));
    }
    config.validate().map_err(|error| Fault {
        offset: None,
        reason: error.to_string(),
    })?;
    Ok(ServeConfig {
        engine: config,
        device: raw.device,
        telemetry: raw.telemetry.check()?,
        access: access.check()?,
        traces: TracesConfig::of(raw.traces, base, |name| std::env::var(name).ok())?,
        #[cfg(feature = "cluster")]
        cluster: cluster.transpose()?,
    })
}

/// Tables of one kind, each checked with its place at hand.
fn each<R, T>(
    tables: Vec<Spanned<R>>,
    check: impl Fn(R) -> Result<T, String>,
) -> Result<Vec<T>, Fault> {
    let checked = tables.into_iter().map(|table| {
        let start = table.span().start;
        check(table.into_inner()).map_err(|reason| Fault::at(start, reason))
    });
    checked.collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests;
