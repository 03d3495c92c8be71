//! A pool as written in the configuration.

mod kubernetes;
mod provider;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use foreshadow_engine::{
    allocator::Recycle,
    config::{Aim, Costs, Execution, PoolConfig},
};
use foreshadow_types::{InstanceCount, PoolName, Shape, Vcpus};
use serde::Deserialize;

use self::kubernetes::RawOwner;
use self::provider::{RawFallback, RawHold, RawLimits, RawProbe, RawProvider, RawReady, RawReset};
use super::text::{Size, Span};

/// A `[[pool]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPool {
    name: String,
    /// Pools of one group are in one shard.
    group: Option<String>,
    provider: RawProvider,
    command: Option<Vec<String>>,
    ready: Option<RawReady>,
    env: Option<BTreeMap<String, String>>,
    working_dir: Option<PathBuf>,
    user: Option<String>,
    limits: Option<RawLimits>,
    endpoint: Option<String>,
    token_file: Option<PathBuf>,
    parameters: Option<BTreeMap<String, String>>,
    call_timeout: Option<Span>,
    template: Option<PathBuf>,
    namespace: Option<String>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    port: Option<u16>,
    address: Option<String>,
    owner: Option<RawOwner>,
    unready_timeout: Option<Span>,
    hold: Option<RawHold>,
    start_timeout: Option<Span>,
    stop_grace: Option<Span>,
    probe: Option<RawProbe>,
    fallback: Option<RawFallback>,
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
    ramp: Option<RawRamp>,
    breaker: Option<RawBreaker>,
    model: Option<String>,
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

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawRecycle {
    #[default]
    Delete,
    Reset,
    Reuse,
}

/// What idle instances and waiting requests cost, in one currency.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCosts {
    idle_hour: f64,
    waiting_second: f64,
}

/// How fast plans may make a pool grow and shrink; no limit where nothing is said.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRamp {
    up: Option<u32>,
    down: Option<u32>,
    down_an_hour: Option<u32>,
}

/// When failing starts keep a pool from growing.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBreaker {
    failures: Option<u32>,
    back_off: Option<Span>,
    longest: Option<Span>,
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

impl RawPool {
    /// The pool, or what is wrong with it. Files of its own are looked for from `base`.
    pub(super) fn check(self, base: &Path) -> Result<PoolConfig, String> {
        let name = PoolName::new(&self.name).map_err(|error| error.to_string())?;
        let shape = self.shape.check();
        let shape = shape.map_err(|error| format!("pool `{name}`: {error}"))?;
        let costs = self.costs.map(|costs| Costs {
            idle_hour: costs.idle_hour,
            waiting_second: costs.waiting_second,
        });
        let aim = Aim::one_of(self.target_hit_rate, self.idle_budget, costs);
        let aim = aim.map_err(|error| format!("pool `{name}` {error}"))?;
        let model = self.model.as_deref().map(str::parse).transpose();
        let model = model.map_err(|error| format!("pool `{name}`: model = {error}"))?;
        let provider = provider::checked(&self, base);
        let provider = provider.map_err(|error| format!("pool `{name}`: {error}"))?;
        let mut pool = PoolConfig::with(name, provider, self.max);
        set(&mut pool.aim, aim);
        set(&mut pool.model, model);
        if let Some(ramp) = self.ramp {
            set(&mut pool.ramp.up, ramp.up);
            set(&mut pool.ramp.down, ramp.down);
            set(&mut pool.ramp.down_an_hour, ramp.down_an_hour);
        }
        if let Some(breaker) = self.breaker {
            set(&mut pool.breaker.failures, breaker.failures);
            set(
                &mut pool.breaker.back_off,
                breaker.back_off.map(|span| span.0),
            );
            set(
                &mut pool.breaker.longest,
                breaker.longest.map(|span| span.0),
            );
        }
        pool.group = self.group;
        pool.fallback = self.fallback.map(RawFallback::read);
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

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
