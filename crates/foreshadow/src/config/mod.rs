//! The configuration file of `serve`: TOML, checked as a whole before any data is touched.

mod access;
mod history;
mod pool;
mod shadow;
mod telemetry;
mod tenant;
mod text;

use std::path::{Path, PathBuf};

use foreshadow_engine::{
    EngineConfig,
    config::{Durability, OnShutdown},
};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

pub(crate) use access::{AccessConfig, JwtConfig};
use access::{RawAccess, RawCertificate, RawJwt, RawTls, RawToken};
use history::RawHistory;
use pool::RawPool;
use shadow::{RawFollow, RawRetrain, RawSchedule, RawTrigger};
use telemetry::RawTelemetry;
pub(crate) use telemetry::TelemetryConfig;
use tenant::{RawPriority, RawTenant};
use text::Span;

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
    /// The file is no TOML or has a key or value that is not understood.
    #[error("{path}{place}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// `, line N`, where it is known.
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
    tls: Option<RawTls>,
    telemetry: RawTelemetry,
    history: RawHistory,
}

/// What a configuration file says.
#[derive(Debug)]
pub(crate) struct ServeConfig {
    pub(crate) engine: EngineConfig,
    pub(crate) telemetry: TelemetryConfig,
    pub(crate) access: AccessConfig,
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

/// Reads and checks a configuration file; without one there are no pools.
///
/// # Errors
/// [`ConfigFileError`] names the file, the line and how to mend it.
pub(crate) fn load(path: Option<&Path>, data: &Path) -> Result<ServeConfig, ConfigFileError> {
    let malformed = |path: &Path, text: &str, error: Fault| ConfigFileError::Malformed {
        path: path.to_owned(),
        place: error
            .offset
            .map_or_else(String::new, |at| format!(", line {}", line_of(text, at))),
        reason: error.reason,
    };
    let Some(path) = path else {
        return parse("", data).map_err(|error| malformed(Path::new("defaults"), "", error));
    };
    let text = std::fs::read_to_string(path).map_err(|source| ConfigFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text, data).map_err(|error| malformed(path, &text, error))
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

fn parse(text: &str, data: &Path) -> Result<ServeConfig, Fault> {
    let raw: RawConfig = toml::from_str(text).map_err(|error| Fault {
        offset: error.span().map(|span| span.start),
        reason: error.message().to_owned(),
    })?;
    let mut config = EngineConfig::new(data);
    config.seed = raw.seed;
    config.model_dir = raw.model;
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
    config.pools = each(raw.pool, RawPool::check)?;
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
    config.validate().map_err(|error| Fault {
        offset: None,
        reason: error.to_string(),
    })?;
    Ok(ServeConfig {
        engine: config,
        telemetry: raw.telemetry.check()?,
        access: access.check()?,
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
mod tests {
    use std::time::Duration;

    use foreshadow_engine::config::{Aim, Execution, ProviderConfig, Wanted};

    use super::*;

    const POOL: &str = r#"
tick = "5s"
[[pool]]
name = "notebook"
provider = "process"
command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
ready = { http = "/" }
hold = "freeze"
shape = { vcpus = 1, memory = "256MiB" }
max = 8
target_hit_rate = 0.99
"#;

    #[track_caller]
    fn refused(text: &str, expected: &str, line: Option<usize>) {
        let fault = parse(text, Path::new("data")).expect_err("the configuration is at fault");
        assert!(fault.reason.contains(expected), "{}", fault.reason);
        assert_eq!(
            fault.offset.map(|offset| line_of(text, offset)),
            line,
            "{}",
            fault.reason
        );
    }

    /// A second of random inputs by itself; `BOLERO_RANDOM_ITERATIONS` asks for more.
    #[test]
    fn whatever_the_file_holds_it_is_read_or_refused() {
        bolero::check!()
            .with_type::<Vec<(u16, u8)>>()
            .for_each(|edits: &Vec<(u16, u8)>| {
                let mut bytes = POOL.as_bytes().to_vec();
                for &(at, value) in edits {
                    let at = usize::from(at) % bytes.len();
                    bytes[at] = value;
                }
                let _outcome = parse(&String::from_utf8_lossy(&bytes), Path::new("data"));
            });
    }

    #[test]
    fn a_pool_is_read() {
        let config = parse(POOL, Path::new("data")).expect("the configuration is valid");
        assert!(!config.telemetry.mappings.is_empty(), "presets by default");
        let config = config.engine;
        assert_eq!(config.pools.len(), 1);
        assert_eq!(config.pools[0].name().as_str(), "notebook");
        assert_eq!(config.pools[0].aim, Aim::HitRate(0.99));
        assert_eq!(config.shadow.tick.as_secs(), 5);
    }

    #[test]
    fn tenants_priorities_and_resets_are_read() {
        let text = format!(
            "{POOL}recycle = \"reset\"\nreset = {{ http = \"/clean\" }}\n\
             [[tenant]]\nname = \"acme\"\nlive = 5\nrate = {{ per_second = 10 }}\n\
             warm = {{ notebook = {{ floor = 2, cap = 4 }} }}\n\
             [priority]\nstated = 10\nusage = 1\nusage_metric = \"cpu\"\n\
             pools = {{ notebook = 3 }}\nlabels = {{ zone = {{ a = 2 }} }}\n"
        );
        let config = parse(&text, Path::new("data")).expect("the configuration is valid");
        let config = config.engine;
        let (tenant, quota) = config.tenants.first_key_value().expect("there is a tenant");
        assert_eq!((tenant.as_str(), quota.live), ("acme", Some(5)));
        assert_eq!(quota.rate.map(|rate| rate.burst), Some(10));
        let warm = quota.warm.values().next().expect("there is a pool");
        assert_eq!((warm.floor, warm.cap), (2, Some(4)));
        refused(&text.replace("floor = 2", "floor = 5"), "floor", Some(14));
        refused(
            &text.replace("{ notebook = { f", "{ nope = { f"),
            "nope",
            None,
        );
        assert_eq!(config.priorities.usage, 1);
        assert_eq!(config.priorities.labels.len(), 1);
        let unknown = text.replace("notebook = 3", "nope = 3");
        refused(&unknown, "nope", None);
        refused(&text.replace("= 10 }", "= 0 }"), "per_second", Some(14));
        refused(&text.replace("recycle = \"reset\"", ""), "recycle", Some(3));
    }

    #[test]
    fn aims_previews_schedules_and_what_follows_are_read() {
        let aims = POOL.replace("target_hit_rate = 0.99", "idle_budget = 2.5");
        let text = format!(
            "{aims}preview = {{ keep = 4 }}\n\
             [[schedule]]\nname = \"office\"\npool = \"notebook\"\n\
             starts = \"0 8 * * MON-FRI Europe/Berlin\"\nlasts = \"10h\"\ncount = 3\n\
             [[trigger]]\nname = \"busy\"\nmetric = \"cpu\"\nthreshold = 70\nwithin = \"30m\"\n\
             pool = \"notebook\"\namount = {{ vcpus = 2 }}\n\
             [retrain]\nat = \"0 3 * * *\"\n"
        );
        let config = parse(&text, Path::new("data")).expect("the configuration is valid");
        let config = config.engine;
        assert_eq!(config.pools[0].aim, Aim::IdleBudget(2.5));
        assert_eq!(config.pools[0].execution, Execution::Preview { keep: 4 });
        assert_eq!(config.shadow.schedules.len(), 1);
        assert!(matches!(
            config.shadow.triggers[0].wanted,
            Wanted::Amount(_)
        ));
        assert!(config.shadow.retrain_at.is_some());
        let two = text.replace("idle_budget", "target_hit_rate = 0.9\nidle_budget");
        refused(&two, "several aims", Some(3));
        refused(&text.replace("0 8 * *", "at eight"), "starts", Some(13));
        refused(&text.replace("{ vcpus = 2 }", "{ gpus = 2 }"), "busy", None);
        let alone = "[[follow]]\npool = \"notebook\"\nafter = \"notebook\"\ndelay = \"4m\"\n";
        refused(&format!("{POOL}{alone}"), "follows itself", None);
    }

    #[test]
    fn the_example_of_the_documentation_is_a_configuration() {
        let page = include_str!("../../../../docs/configuration.md");
        let example = page
            .split("```toml")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let example = example.expect("the page has an example");
        let config = parse(example, Path::new("data")).expect("the example is valid");
        assert_eq!(config.engine.pools.len(), 2);
        assert_eq!(config.engine.shadow.follows.len(), 1);
    }

    #[test]
    fn the_configurations_of_the_packages_are_configurations() {
        for text in [
            include_str!("../../../../packaging/foreshadow.toml"),
            include_str!("../../../../packaging/kubernetes/base/foreshadow.toml"),
            include_str!("../../../../packaging/kubernetes/overlays/quick-start/foreshadow.toml"),
        ] {
            let read = parse(text, Path::new("data"));
            assert!(read.is_ok(), "{read:?} of {text}");
        }
    }

    #[test]
    fn the_pools_on_the_page_of_integrations_are_configurations() {
        let page = include_str!("../../../../docs/integrations.md");
        let blocks = page.split("```toml").skip(1);
        let examples: Vec<_> = blocks
            .filter_map(|block| block.split("```").next())
            .collect();
        assert_eq!(examples.len(), 3);
        for example in examples {
            let config = parse(example, Path::new("data")).expect("the example is valid");
            assert_eq!(config.engine.pools.len(), 1);
        }
    }

    #[test]
    fn where_history_lies_and_how_it_becomes_coarser_is_read() {
        let text = "[history]\nfolder = \"/var/history\"\ndownsample = [\n\
                    { after = \"7d\", interval = \"5m\" },\n{ after = \"90d\", interval = \"1h\" },\n]\n";
        let config = parse(text, Path::new("data")).expect("the configuration is valid");
        let config = config.engine;
        assert_eq!(config.history_dir(), Path::new("/var/history"));
        assert_eq!(config.downsampling.len(), 2);
        assert_eq!(config.downsampling[1].interval.as_secs(), 3_600);
        refused(&text.replace("7d", "7h"), "a day or more", None);
        refused(&text.replace("1h", "7m"), "multiple", None);
        refused(
            &text.replace("interval = \"5m\"", "to = \"5m\""),
            "to",
            Some(4),
        );
        refused(
            &text.replace("/var", "ftp://host"),
            "s3://bucket/prefix",
            None,
        );
    }

    #[test]
    fn each_fault_names_its_line_and_key() {
        refused("tick = \"5 parsecs\"", "5 parsecs", Some(1));
        refused("tick = \"-5s\"", "negative", Some(1));
        refused("[retrain]\nniceness = 5", "every", Some(1));
        let twice = "[[tenant]]\nname = \"a\"\nlive = 1\n".repeat(2);
        refused(&twice, "twice", Some(4));
        refused(&format!("{POOL}\nspeed = 9"), "speed", Some(13));
        refused(&POOL.replace("max = 8", "max = 0"), "max", None);
        refused(&POOL.replace("256MiB", "lots"), "lots", Some(9));
        refused(&POOL.replace("0.99", "1.5"), "target_hit_rate", None);
        refused("[[pool]]\nname = \"a\"", "missing field", Some(1));
    }

    #[test]
    fn a_pool_of_an_external_provider_is_read_and_takes_no_key_of_a_process() {
        let pool = r#"
[[pool]]
name = "game"
provider = "grpc"
endpoint = "http://127.0.0.1:9000"
parameters = { map = "harbour" }
call_timeout = "2s"
stop_grace = "10s"
probe = { interval = "15s" }
max = 4
"#;
        let config = parse(pool, Path::new("data")).expect("the configuration is valid");
        let ProviderConfig::External(external) = &config.engine.pools[0].provider else {
            panic!("{:?}", config.engine.pools[0].provider);
        };
        assert_eq!(external.endpoint, "http://127.0.0.1:9000");
        assert_eq!(external.parameters["map"], "harbour");
        assert_eq!(external.call_timeout, Duration::from_secs(2));
        assert_eq!(external.probe_interval, Duration::from_secs(15));
        for (more, expected) in [
            ("command = [\"true\"]", "`command` is for"),
            ("ready = { tcp = true }", "`ready` is for"),
        ] {
            refused(&format!("{pool}{more}"), expected, Some(2));
        }
        let timeout = pool.replace("interval = \"15s\"", "timeout = \"1s\"");
        refused(&timeout, "`probe.timeout` is for", Some(2));
        refused(
            &pool.replace("endpoint = \"http://127.0.0.1:9000\"", ""),
            "endpoint",
            Some(2),
        );
        refused(&pool.replace("http://", ""), "http://HOST:PORT", None);
        refused(
            &format!("{POOL}\nendpoint = \"http://a:1\""),
            "`endpoint` is for",
            Some(3),
        );
    }

    #[test]
    fn a_fallback_is_read_and_must_be_one_that_can_be_called() {
        let with = |more: &str| format!("{POOL}\n{more}");
        let fallback = "fallback = { url = \"http://allocator:9100/game\", timeout = \"200ms\" }";
        let config = parse(&with(fallback), Path::new("data")).expect("it is valid");
        let read = config.engine.pools[0]
            .fallback
            .as_ref()
            .expect("it is read");
        assert_eq!(read.url, "http://allocator:9100/game");
        assert_eq!(read.timeout, Duration::from_millis(200));
        refused(
            &with("fallback = { url = \"allocator\" }"),
            "fallback.url",
            None,
        );
        refused(&with("fallback = { timeout = \"1s\" }"), "url", Some(13));
        let reused = with(&format!("{fallback}\nrecycle = \"reuse\""));
        refused(&reused, "recycle", None);
    }

    #[test]
    fn mappings_are_read_and_faults_in_them_have_their_line() {
        let mapping = r#"
[telemetry]
presets = ["kubelet"]
[[telemetry.mapping]]
metric = "app_sessions"
where = ["tenant!="]
user = "{tenant}"
as = "sessions"
"#;
        let config = parse(mapping, Path::new("data")).expect("the configuration is valid");
        let mapped = config.telemetry.mappings.iter();
        assert!(mapped.clone().any(|one| &**one.resource() == "sessions"));
        assert_eq!(mapped.len(), 7);
        for (from, to, expected, line) in [
            ("kubelet", "nagios", "there is no preset `nagios`", 3),
            ("{tenant}", "tenant", "names no label", 4),
            ("tenant!=", "tenant", "`where`", 4),
            ("user =", "speed =", "speed", 7),
            (
                "user = \"{tenant}\"\n",
                "",
                "neither `user` nor `application`",
                4,
            ),
        ] {
            refused(&mapping.replace(from, to), expected, Some(line));
        }
    }
}
