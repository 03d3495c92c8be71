//! A pool as written in the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use foreshadow_engine::{
    allocator::Recycle,
    config::{Aim, Costs, Execution, PoolConfig},
};
use foreshadow_providers::{Hold, ProbeSpec, ProcessSpec, Readiness, Reset};
use foreshadow_types::{InstanceCount, PoolName, Shape, Vcpus};
use serde::Deserialize;

use super::text::{Size, Span};

/// A `[[pool]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPool {
    name: String,
    provider: RawProvider,
    command: Vec<String>,
    #[serde(default)]
    ready: RawReady,
    #[serde(default)]
    hold: RawHold,
    #[serde(default)]
    env: BTreeMap<String, String>,
    working_dir: Option<PathBuf>,
    start_timeout: Option<Span>,
    stop_grace: Option<Span>,
    probe: Option<RawProbe>,
    #[serde(default)]
    shape: RawShape,
    #[serde(default)]
    dependencies: BTreeSet<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    min: u32,
    max: u32,
    target_hit_rate: Option<f64>,
    idle_budget: Option<f64>,
    costs: Option<RawCosts>,
    preview: Option<RawPreview>,
    shareable: Option<u32>,
    #[serde(default)]
    recycle: RawRecycle,
    reset: Option<RawReset>,
    max_age: Option<Span>,
    max_queue: Option<u32>,
    max_wait: Option<Span>,
    lease_duration: Option<Span>,
    booking_grace: Option<Span>,
    expected_startup: Option<Span>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawProvider {
    Process,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawReady {
    Http(String),
    Stdout(String),
    Tcp(bool),
    #[default]
    #[serde(skip)]
    Unsaid,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawHold {
    Freeze,
    #[default]
    Run,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawRecycle {
    #[default]
    Delete,
    Reset,
    Reuse,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawReset {
    Command(Vec<String>),
    Http(String),
}

/// What idle instances and waiting requests cost, in one currency.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCosts {
    idle_hour: f64,
    waiting_second: f64,
}

/// Plans are made but not carried out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPreview {
    keep: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawShape {
    vcpus: f64,
    memory: Size,
    storage_iops: u64,
    network_mbps: u64,
    gpus: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawProbe {
    interval: Option<Span>,
    timeout: Option<Span>,
    failures: Option<u32>,
}

impl RawPool {
    /// The pool, or what is wrong with it.
    pub(super) fn check(self) -> Result<PoolConfig, String> {
        let name = PoolName::new(&self.name).map_err(|error| error.to_string())?;
        let shape = self.shape.check();
        let shape = shape.map_err(|error| format!("pool `{name}`: {error}"))?;
        let costs = self.costs.map(|costs| Costs {
            idle_hour: costs.idle_hour,
            waiting_second: costs.waiting_second,
        });
        let aim = Aim::one_of(self.target_hit_rate, self.idle_budget, costs);
        let aim = aim.map_err(|error| format!("pool `{name}` {error}"))?;
        let RawProvider::Process = self.provider;
        let process = process(&self)?;
        let mut pool = PoolConfig::new(name, process, self.max);
        set(&mut pool.aim, aim);
        if let Some(RawPreview { keep }) = self.preview {
            pool.execution = Execution::Preview { keep };
        }
        let spec = &mut pool.spec;
        spec.shape = shape;
        spec.dependencies = self.dependencies;
        spec.labels = self.labels;
        spec.min = InstanceCount(self.min);
        spec.max_age = self.max_age.map(|span| span.0);
        spec.recycle = match self.recycle {
            RawRecycle::Delete => Recycle::Delete,
            RawRecycle::Reset => Recycle::Reset,
            RawRecycle::Reuse => Recycle::Reuse,
        };
        set(&mut spec.shares, self.shareable);
        set(&mut spec.max_queue, self.max_queue);
        set(&mut spec.max_wait, self.max_wait.map(|span| span.0));
        set(
            &mut spec.lease_duration,
            self.lease_duration.map(|span| span.0),
        );
        set(&mut spec.grace, self.booking_grace.map(|span| span.0));
        set(&mut spec.startup, self.expected_startup.map(|span| span.0));
        Ok(pool)
    }
}

impl RawShape {
    /// The shape, or what is wrong with it.
    pub(super) fn check(&self) -> Result<Shape, String> {
        Ok(Shape {
            vcpus: Vcpus::new(self.vcpus).map_err(|error| error.to_string())?,
            memory: self.memory.0,
            storage_iops: self.storage_iops,
            network_mbps: self.network_mbps,
            gpus: self.gpus,
        })
    }
}

fn process(raw: &RawPool) -> Result<ProcessSpec, String> {
    let mut process = ProcessSpec::new(raw.command.clone());
    process.ready = match &raw.ready {
        RawReady::Http(path) => Readiness::Http(path.clone()),
        RawReady::Stdout(line) => Readiness::Stdout(line.clone()),
        RawReady::Tcp(true) | RawReady::Unsaid => Readiness::Tcp,
        RawReady::Tcp(false) => {
            return Err(format!(
                "pool `{}`: `ready.tcp` is false; give `ready = {{ http = \"/\" }}`, \
                 `{{ tcp = true }}` or `{{ stdout = \"ready\" }}`",
                raw.name
            ));
        }
    };
    process.hold = match raw.hold {
        RawHold::Freeze => Hold::Freeze,
        RawHold::Run => Hold::Run,
    };
    process.env = raw.env.clone();
    process.working_dir.clone_from(&raw.working_dir);
    set(
        &mut process.start_timeout,
        raw.start_timeout.map(|span| span.0),
    );
    set(&mut process.stop_grace, raw.stop_grace.map(|span| span.0));
    process.reset = reset(raw)?;
    if let Some(probe) = &raw.probe {
        process.probe = checks(probe);
    }
    Ok(process)
}

fn reset(raw: &RawPool) -> Result<Reset, String> {
    match (&raw.recycle, &raw.reset) {
        (RawRecycle::Reset, Some(RawReset::Command(words))) => Ok(Reset::Command(words.clone())),
        (RawRecycle::Reset, Some(RawReset::Http(path))) => Ok(Reset::Http(path.clone())),
        (_, None) => Ok(Reset::Restart),
        (RawRecycle::Delete | RawRecycle::Reuse, Some(_)) => Err(format!(
            "pool `{}`: `reset` says how instances are cleaned, but they are not; \
             give `recycle = \"reset\"` too",
            raw.name
        )),
    }
}

fn checks(raw: &RawProbe) -> ProbeSpec {
    let mut probe = ProbeSpec::default();
    set(&mut probe.interval, raw.interval.map(|span| span.0));
    set(&mut probe.timeout, raw.timeout.map(|span| span.0));
    set(&mut probe.failures, raw.failures);
    probe
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
