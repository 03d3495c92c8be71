//! What starts the instances of a pool, as written in the configuration.

use std::path::Path;

use foreshadow_engine::config::ProviderConfig;
use foreshadow_providers::{
    ExternalSpec, FallbackSpec, Hold, Limits, ProbeSpec, ProcessSpec, Readiness, Reset, RunAs,
};
use serde::Deserialize;

use super::{RawPool, RawRecycle, kubernetes, set};
use crate::config::text::{Size, Span};

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawProvider {
    Process,
    Grpc,
    Kubernetes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawReady {
    Http(String),
    Stdout(String),
    Tcp(bool),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawHold {
    Freeze,
    #[default]
    Run,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawReset {
    Command(Vec<String>),
    Http(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawProbe {
    interval: Option<Span>,
    timeout: Option<Span>,
    failures: Option<u32>,
}

/// What each process of an instance may take at the most.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    memory: Option<Size>,
    open_files: Option<u64>,
    processes: Option<u64>,
    file_size: Option<Size>,
}

impl RawLimits {
    fn read(self) -> Limits {
        Limits {
            memory: self.memory.map(|size| size.0.0),
            open_files: self.open_files,
            processes: self.processes,
            file_size: self.file_size.map(|size| size.0.0),
        }
    }
}

/// A user by name or as `UID:GID`.
fn run_as(text: &str) -> Result<RunAs, String> {
    let numbers = text
        .split_once(':')
        .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    let known = || {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        users.lines().find_map(|line| named_in(line, text))
    };
    let found = numbers.or_else(known);
    found.map(|(uid, gid)| RunAs { uid, gid }).ok_or_else(|| {
        format!("`user` is {text:?}, whom this machine does not know; give a name or `UID:GID`")
    })
}

/// User and group of a line of passwd(5), if it is this user's.
fn named_in(line: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':');
    let own = fields.next()? == name;
    let (uid, gid) = (fields.nth(1)?, fields.next()?);
    own.then_some((uid.parse().ok()?, gid.parse().ok()?))
}

/// An allocator that was there before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFallback {
    url: String,
    timeout: Option<Span>,
}

impl RawFallback {
    pub(super) fn read(self) -> FallbackSpec {
        let mut fallback = FallbackSpec::new(self.url);
        set(&mut fallback.timeout, self.timeout.map(|span| span.0));
        fallback
    }
}

/// What starts the pool's instances, or what is wrong with it.
pub(super) fn checked(raw: &RawPool, base: &Path) -> Result<ProviderConfig, String> {
    match raw.provider {
        RawProvider::Process => process(raw).map(ProviderConfig::Process),
        RawProvider::Grpc => external(raw).map(ProviderConfig::External),
        RawProvider::Kubernetes => {
            let pods = kubernetes::spec(raw, base)?;
            Ok(ProviderConfig::Kubernetes(Box::new(pods)))
        }
    }
}

/// Refuses keys that are another provider's.
pub(super) fn refuse(given: &[(&str, bool)], kind: &str) -> Result<(), String> {
    match given.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(format!(
            "`{key}` is for `provider = \"{kind}\"`; leave it out or choose that provider"
        )),
        None => Ok(()),
    }
}

/// The keys that only a process has.
pub(super) fn of_process(raw: &RawPool) -> [(&'static str, bool); 9] {
    let probe = raw.probe.as_ref();
    [
        ("command", raw.command.is_some()),
        ("ready", raw.ready.is_some()),
        ("env", raw.env.is_some()),
        ("working_dir", raw.working_dir.is_some()),
        ("user", raw.user.is_some()),
        ("limits", raw.limits.is_some()),
        ("reset", raw.reset.is_some()),
        (
            "probe.timeout",
            probe.is_some_and(|probe| probe.timeout.is_some()),
        ),
        (
            "probe.failures",
            probe.is_some_and(|probe| probe.failures.is_some()),
        ),
    ]
}

/// The keys that only an external provider has.
pub(super) fn of_grpc(raw: &RawPool) -> [(&'static str, bool); 3] {
    [
        ("endpoint", raw.endpoint.is_some()),
        ("token_file", raw.token_file.is_some()),
        ("parameters", raw.parameters.is_some()),
    ]
}

fn process(raw: &RawPool) -> Result<ProcessSpec, String> {
    refuse(&of_grpc(raw), "grpc")?;
    refuse(&[("call_timeout", raw.call_timeout.is_some())], "grpc")?;
    refuse(&kubernetes::given(raw), "kubernetes")?;
    let Some(command) = &raw.command else {
        return Err("missing field `command`; give the program and its arguments".to_owned());
    };
    let mut process = ProcessSpec::new(command.clone());
    process.ready = match &raw.ready {
        Some(RawReady::Http(path)) => Readiness::Http(path.clone()),
        Some(RawReady::Stdout(line)) => Readiness::Stdout(line.clone()),
        Some(RawReady::Tcp(true)) | None => Readiness::Tcp,
        Some(RawReady::Tcp(false)) => {
            return Err("`ready.tcp` is false; give `ready = { http = \"/\" }`, \
                        `{ tcp = true }` or `{ stdout = \"ready\" }`"
                .to_owned());
        }
    };
    process.hold = hold(raw);
    process.env = raw.env.clone().unwrap_or_default();
    process.working_dir.clone_from(&raw.working_dir);
    process.user = raw.user.as_deref().map(run_as).transpose()?;
    process.limits = raw.limits.unwrap_or_default().read();
    let (start_timeout, stop_grace) = (raw.start_timeout, raw.stop_grace);
    set(&mut process.start_timeout, start_timeout.map(|span| span.0));
    set(&mut process.stop_grace, stop_grace.map(|span| span.0));
    process.reset = reset(raw)?;
    if let Some(probe) = &raw.probe {
        process.probe = checks(probe);
    }
    Ok(process)
}

fn external(raw: &RawPool) -> Result<ExternalSpec, String> {
    refuse(&of_process(raw), "process")?;
    refuse(&kubernetes::given(raw), "kubernetes")?;
    let Some(endpoint) = &raw.endpoint else {
        return Err(
            "missing field `endpoint`; give `http://HOST:PORT` or `unix:///PATH`".to_owned(),
        );
    };
    let mut external = ExternalSpec::new(endpoint.clone());
    external.token_file.clone_from(&raw.token_file);
    external.parameters = raw.parameters.clone().unwrap_or_default();
    external.hold = hold(raw);
    let (start_timeout, stop_grace) = (raw.start_timeout, raw.stop_grace);
    set(
        &mut external.start_timeout,
        start_timeout.map(|span| span.0),
    );
    set(&mut external.stop_grace, stop_grace.map(|span| span.0));
    set(
        &mut external.call_timeout,
        raw.call_timeout.map(|span| span.0),
    );
    let probe = raw.probe.as_ref();
    let interval = probe.and_then(|probe| probe.interval);
    set(&mut external.probe_interval, interval.map(|span| span.0));
    Ok(external)
}

fn hold(raw: &RawPool) -> Hold {
    match raw.hold.unwrap_or_default() {
        RawHold::Freeze => Hold::Freeze,
        RawHold::Run => Hold::Run,
    }
}

fn reset(raw: &RawPool) -> Result<Reset, String> {
    match (&raw.recycle, &raw.reset) {
        (RawRecycle::Reset, Some(RawReset::Command(words))) => Ok(Reset::Command(words.clone())),
        (RawRecycle::Reset, Some(RawReset::Http(path))) => Ok(Reset::Http(path.clone())),
        (_, None) => Ok(Reset::Restart),
        (RawRecycle::Delete | RawRecycle::Reuse, Some(_)) => Err(
            "`reset` says how instances are cleaned, but they are not; give `recycle = \"reset\"` \
             too"
            .to_owned(),
        ),
    }
}

fn checks(raw: &RawProbe) -> ProbeSpec {
    let mut probe = ProbeSpec::default();
    set(&mut probe.interval, raw.interval.map(|span| span.0));
    set(&mut probe.timeout, raw.timeout.map(|span| span.0));
    set(&mut probe.failures, raw.failures);
    probe
}
