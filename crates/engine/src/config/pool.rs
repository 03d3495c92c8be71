//! One pool.

use foreshadow_allocator::{HoldMode, PoolSpec};
use foreshadow_providers::{Hold, ProcessSpec};
use foreshadow_types::{InstanceCount, PoolName};

/// A kind of interchangeable resource, what starts it, and what it should reach.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolConfig {
    /// Its definition. `revision`, `hold`, `start_timeout` and `stop_timeout` follow from the
    /// provider and are set by the engine.
    pub spec: PoolSpec,
    /// What starts its instances.
    pub provider: ProviderConfig,
    /// The share of requests that should find a ready instance, above 0 and below 1.
    pub target_hit_rate: f64,
}

impl PoolConfig {
    /// A pool of at most `max` processes, everything else at its default.
    pub fn new(name: PoolName, process: ProcessSpec, max: u32) -> Self {
        let mut spec = PoolSpec::new(name);
        spec.max = InstanceCount(max);
        Self {
            spec,
            provider: ProviderConfig::Process(process),
            target_hit_rate: 0.95,
        }
    }

    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.spec.name
    }

    /// The definition with what follows from the provider.
    pub(crate) fn resolved(&self) -> PoolSpec {
        let ProviderConfig::Process(process) = &self.provider;
        let margin = std::time::Duration::from_secs(5);
        PoolSpec {
            revision: revision(process),
            hold: match process.hold {
                Hold::Freeze => HoldMode::Freeze,
                Hold::Run => HoldMode::Run,
            },
            // The provider gives up first and says why; the allocator's deadline is the backstop.
            start_timeout: process.start_timeout + margin,
            stop_timeout: process.stop_grace + margin,
            ..self.spec.clone()
        }
    }
}

/// What starts the instances of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderConfig {
    /// Processes on this machine.
    Process(ProcessSpec),
}

/// A number that changes when instances must be replaced because what is started has changed.
fn revision(process: &ProcessSpec) -> u64 {
    let mut hash = Fnv::new();
    for word in &process.command {
        hash.text(word);
    }
    for (key, value) in &process.env {
        hash.text(key);
        hash.text(value);
    }
    if let Some(folder) = &process.working_dir {
        hash.text(&folder.to_string_lossy());
    }
    hash.0
}

/// FNV-1a: stable over versions of the compiler, which the standard library's hash is not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
