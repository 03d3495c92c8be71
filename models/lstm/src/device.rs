//! Where the network is computed: by the hand-written kernel on the CPU, or by burn on a graphics card.

#[cfg(any(test, feature = "gpu"))]
mod adapter;

#[cfg(any(test, feature = "gpu"))]
pub(crate) use adapter::Adapter;

use crate::{
    chunk::{Chunk, ChunkGradient},
    gradient::gradient,
    network::NetworkSize,
};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A hardware graphics adapter if this build and machine have one, else the CPU. Few series are
    /// forecast by the CPU even so.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A hardware graphics adapter, or an error.
    Gpu,
}

/// Why the device asked for is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The build has no graphics support.
    #[error(
        "this build has no gpu support; build with `-p foreshadow --features gpu`, or use the device `cpu`"
    )]
    NotBuilt,
    /// No adapter can be used.
    #[error("no graphics adapter can be used ({0}); use the device `cpu`")]
    NoAdapter(String),
}

/// A device that was found.
#[derive(Debug, Clone)]
pub struct Compute {
    name: String,
    /// Absent on the CPU.
    #[cfg(any(test, feature = "gpu"))]
    adapter: Option<Adapter>,
}

impl Default for Compute {
    fn default() -> Self {
        Self::cpu()
    }
}

impl Compute {
    /// The CPU.
    pub fn cpu() -> Self {
        Self {
            name: "cpu".to_owned(),
            #[cfg(any(test, feature = "gpu"))]
            adapter: None,
        }
    }

    /// Looks for what was asked for; a process looks for adapters once, however often it asks. With
    /// [`DeviceChoice::Auto`], the second part says why the CPU is used although this build supports
    /// graphics adapters.
    ///
    /// # Errors
    /// [`DeviceError`] if a graphics adapter was asked for and cannot be used.
    pub fn probe(choice: DeviceChoice) -> Result<(Self, Option<DeviceError>), DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok((Self::cpu(), None)),
            DeviceChoice::Gpu => Self::adapter(choice).map(|found| (found, None)),
            DeviceChoice::Auto => Ok(match Self::adapter(choice) {
                Ok(found) => (found, None),
                Err(DeviceError::NotBuilt) => (Self::cpu(), None),
                Err(reason) => (Self::cpu(), Some(reason)),
            }),
        }
    }

    /// `cpu`, or the adapter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        #[cfg(any(test, feature = "gpu"))]
        return self.adapter.is_none();
        #[cfg(not(any(test, feature = "gpu")))]
        true
    }

    #[cfg(not(feature = "gpu"))]
    fn adapter(_: DeviceChoice) -> Result<Self, DeviceError> {
        Err(DeviceError::NotBuilt)
    }

    #[cfg(feature = "gpu")]
    fn adapter(choice: DeviceChoice) -> Result<Self, DeviceError> {
        Adapter::find(choice).map(Self::on)
    }

    /// On a device of burn's.
    #[cfg(any(test, feature = "gpu"))]
    pub(crate) fn on(adapter: Adapter) -> Self {
        Self {
            name: adapter.name().to_owned(),
            adapter: Some(adapter),
        }
    }

    /// What serves so many series: no adapter where the CPU is to do it.
    #[cfg(any(test, feature = "gpu"))]
    pub(crate) fn serving(&self, series: usize) -> Option<&Adapter> {
        self.adapter.as_ref().filter(|found| found.serves(series))
    }

    /// Whether it is a graphics adapter that the CPU plays.
    pub fn is_software(&self) -> bool {
        #[cfg(any(test, feature = "gpu"))]
        return self.adapter.as_ref().is_some_and(Adapter::is_software);
        #[cfg(not(any(test, feature = "gpu")))]
        false
    }

    /// Sends numbers to a graphics card and reads them back, for what is to be measured; `None` on the
    /// CPU and where that fails.
    pub fn there_and_back(&self, numbers: &[f32]) -> Option<Vec<f32>> {
        #[cfg(any(test, feature = "gpu"))]
        return crate::card::there_and_back(self.adapter.as_ref()?, numbers);
        #[cfg(not(any(test, feature = "gpu")))]
        {
            let _ = numbers;
            None
        }
    }

    /// Whether a graphics adapter was found and has failed since.
    pub fn is_lost(&self) -> bool {
        #[cfg(any(test, feature = "gpu"))]
        return self.adapter.as_ref().is_some_and(Adapter::is_lost);
        #[cfg(not(any(test, feature = "gpu")))]
        false
    }

    /// As if the adapter had failed.
    #[cfg(test)]
    pub(crate) fn lose(&self, reason: &str) {
        if let Some(adapter) = &self.adapter {
            adapter.lose(reason);
        }
    }

    /// Loss, gradient and carried state of a chunk.
    #[cfg_attr(
        not(any(test, feature = "gpu")),
        expect(
            clippy::unused_self,
            reason = "only a graphics card has a device to run on"
        )
    )]
    pub(crate) fn gradient(
        &self,
        size: &NetworkSize,
        weights: &[f32],
        chunk: &Chunk,
    ) -> ChunkGradient {
        #[cfg(any(test, feature = "gpu"))]
        if let Some(adapter) = &self.adapter {
            let device = adapter.device.clone().autodiff();
            return crate::graph::Graph::new(size, weights, &device).gradient(chunk);
        }
        gradient(size, weights, chunk)
    }
}

/// The same device, used in the same way.
impl PartialEq for Compute {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(any(test, feature = "gpu"))]
        if self.adapter.as_ref().map(Adapter::least) != other.adapter.as_ref().map(Adapter::least) {
            return false;
        }
        self.name == other.name
    }
}
