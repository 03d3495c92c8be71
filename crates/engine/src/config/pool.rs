//! One pool.

use std::time::Duration;

use foreshadow_allocator::{HoldMode, PoolSpec};
use foreshadow_planner::{BreakerSettings, Objective, RampLimit};
use foreshadow_providers::{
    ExternalSpec, FallbackSpec, Hold, KubernetesSpec, ProcessSpec, SpecError,
};
use foreshadow_types::{InstanceCount, PoolName};
use thiserror::Error;

use super::PoolModel;

/// A kind of interchangeable resource, what starts it, and what it should reach.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// Pools of one group are in one shard: those that follow each other, or that one request may
    /// have either of. A group of its own if `None`.
    pub group: Option<String>,
    /// Its definition. `revision`, `hold`, `start_timeout` and `stop_timeout` follow from the
    /// provider and are set by the engine.
    pub spec: PoolSpec,
    /// What starts its instances.
    pub provider: ProviderConfig,
    /// An allocator that a start is asked of first which a request waits for.
    pub fallback: Option<FallbackSpec>,
    /// What its planner aims at.
    pub aim: Aim,
    /// How fast plans may make it grow and shrink.
    pub ramp: RampLimit,
    /// When failing starts keep it from growing.
    pub breaker: BreakerSettings,
    /// Which model forecasts how often it is asked for.
    pub model: PoolModel,
    /// Whether its plans are carried out.
    pub execution: Execution,
}

impl PoolConfig {
    /// A pool of at most `max` processes, everything else at its default.
    pub fn new(name: PoolName, process: ProcessSpec, max: u32) -> Self {
        Self::with(name, ProviderConfig::Process(process), max)
    }

    /// A pool of at most `max` instances of this provider, everything else at its default.
    pub fn with(name: PoolName, provider: ProviderConfig, max: u32) -> Self {
        let mut spec = PoolSpec::new(name);
        spec.max = InstanceCount(max);
        Self {
            group: None,
            spec,
            provider,
            fallback: None,
            aim: Aim::default(),
            ramp: RampLimit::default(),
            breaker: BreakerSettings::default(),
            model: PoolModel::default(),
            execution: Execution::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.spec.name
    }

    /// The definition with what follows from the provider.
    pub(crate) fn resolved(&self) -> PoolSpec {
        let provider = &self.provider;
        let margin = Duration::from_secs(5);
        let (start_timeout, stop_grace) = provider.timeouts();
        let fallback = self.fallback.as_ref();
        let asking = fallback.map_or(Duration::ZERO, |fallback| fallback.timeout);
        PoolSpec {
            revision: provider.revision(),
            hold: match provider.hold() {
                Hold::Freeze => HoldMode::Freeze,
                Hold::Run => HoldMode::Run,
            },
            // The provider gives up first and says why; the allocator's deadline is the backstop.
            start_timeout: asking + start_timeout + margin,
            stop_timeout: stop_grace + margin,
            ..self.spec.clone()
        }
    }
}

/// What a pool's planner aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    /// The least idle time with at least this share of requests served by a ready instance, above 0
    /// and below 1.
    HitRate(f64),
    /// The highest hit rate that so many idle instances, on average, can buy; above 0.
    IdleBudget(f64),
    /// The least cost.
    Costs(Costs),
}

/// What idle instances and waiting requests cost, in any one currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// An idle instance in an hour; above 0.
    pub idle_hour: f64,
    /// A second that a request waits; above 0.
    pub waiting_second: f64,
}

/// A pool was given several aims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is given several aims; give one: a hit rate, a number of idle instances or costs")]
pub struct SeveralAims;

impl Default for Aim {
    fn default() -> Self {
        Self::HitRate(0.95)
    }
}

impl Aim {
    /// What is aimed at where each way to say it may be given; more than one is refused.
    ///
    /// # Errors
    /// [`SeveralAims`].
    pub fn one_of(
        hit_rate: Option<f64>,
        idle_instances: Option<f64>,
        costs: Option<Costs>,
    ) -> Result<Option<Self>, SeveralAims> {
        let ways = [
            hit_rate.map(Self::HitRate),
            idle_instances.map(Self::IdleBudget),
            costs.map(Self::Costs),
        ];
        let mut given = ways.into_iter().flatten();
        let aim = given.next();
        if given.next().is_some() {
            return Err(SeveralAims);
        }
        Ok(aim)
    }

    /// The planner's objective, where a start takes so long: a request that finds nothing ready
    /// waits for about one start.
    pub(crate) fn objective(self, startup: Duration) -> Objective {
        match self {
            Self::HitRate(rate) => Objective::HitRate(rate),
            Self::IdleBudget(idle_instances) => Objective::IdleBudget { idle_instances },
            Self::Costs(costs) => Objective::Costs {
                idle_seconds_per_hit: costs.waiting_second * startup.as_secs_f64() * 3600.0
                    / costs.idle_hour,
            },
        }
    }

    /// The hit rate that is aimed at, if one is.
    pub fn hit_rate(self) -> Option<f64> {
        match self {
            Self::HitRate(rate) => Some(rate),
            Self::IdleBudget(_) | Self::Costs(_) => None,
        }
    }
}

/// Whether a pool's plans are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Execution {
    /// They are.
    #[default]
    Live,
    /// They are made, logged and scored; the pool itself keeps this many instances.
    Preview {
        /// How many instances are kept.
        keep: u32,
    },
}

/// What starts the instances of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderConfig {
    /// Processes on this machine.
    Process(ProcessSpec),
    /// A provider somewhere else that speaks `foreshadow.provider.v1`.
    External(ExternalSpec),
    /// Pods of a Kubernetes cluster, in builds that have the feature `kubernetes`.
    Kubernetes(Box<KubernetesSpec>),
}

impl ProviderConfig {
    /// Checks everything that can be known before an instance is started.
    pub(crate) fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::Process(process) => process.validate(),
            Self::External(external) => external.validate(),
            Self::Kubernetes(pods) => pods.validate(),
        }
    }

    fn hold(&self) -> Hold {
        match self {
            Self::Process(process) => process.hold,
            Self::External(external) => external.hold,
            // Neither costs anything there: a pod is told what it is used for.
            Self::Kubernetes(_) => Hold::Freeze,
        }
    }

    /// How long an instance may take to start and to end.
    fn timeouts(&self) -> (Duration, Duration) {
        match self {
            Self::Process(process) => (process.start_timeout, process.stop_grace),
            Self::External(external) => (external.start_timeout, external.stop_grace),
            Self::Kubernetes(pods) => (pods.start_timeout, pods.stop_grace),
        }
    }
}
