//! What a pool must offer.

use foreshadow_api::v1::{self, requirements::Preference};

/// What an instance must offer, for a claim that names no pool. What is not said is not needed.
///
/// ```
/// use foreshadow_client::Requirements;
///
/// let needed = Requirements::new()
///     .vcpus(4.0)
///     .memory_bytes(8 << 30)
///     .gpus(1)
///     .dependency("python3.12")
///     .label("zone", "a")
///     .preference([("rack", "7")]);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "requirements do nothing until they are claimed"]
pub struct Requirements(v1::Requirements);

impl Requirements {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Virtual CPUs at the least.
    pub fn vcpus(mut self, vcpus: f64) -> Self {
        self.0.vcpus = vcpus;
        self
    }

    /// Memory at the least.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.0.memory_bytes = bytes;
        self
    }

    /// Storage operations a second at the least.
    pub fn storage_iops(mut self, iops: u64) -> Self {
        self.0.storage_iops = iops;
        self
    }

    /// Network megabits a second at the least.
    pub fn network_mbps(mut self, mbps: u64) -> Self {
        self.0.network_mbps = mbps;
        self
    }

    /// GPUs at the least.
    pub fn gpus(mut self, gpus: u32) -> Self {
        self.0.gpus = gpus;
        self
    }

    /// One thing more that must be present, such as `python3.12`.
    pub fn dependency(mut self, name: impl Into<String>) -> Self {
        self.0.dependencies.push(name.into());
        self
    }

    /// One label more that must be equal.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(key.into(), value.into());
        self
    }

    /// Labels that are liked, less than those of earlier calls: a pool with all of them comes before
    /// one without.
    pub fn preference<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let labels = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        self.0.preferences.push(Preference {
            labels: labels.collect(),
        });
        self
    }

    pub(crate) fn into_wire(self) -> v1::Requirements {
        self.0
    }
}
