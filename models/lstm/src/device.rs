//! Where gradients are computed: the hand-written kernel on the CPU, or burn on a graphics card.

use crate::{
    chunk::{Chunk, ChunkGradient},
    gradient::gradient,
    network::NetworkSize,
};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A hardware graphics adapter if this build and machine have one, else the CPU.
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
        "this build has no gpu support; build with `-p foreshadow --features gpu`, or use `--device cpu`"
    )]
    NotBuilt,
    /// No adapter can be used.
    #[error("no graphics adapter can be used ({0}); use `--device cpu`")]
    NoAdapter(String),
}

/// A device that was found.
#[derive(Debug, Clone)]
pub struct Compute {
    name: String,
    /// Absent on the CPU.
    #[cfg(feature = "gpu")]
    device: Option<burn::tensor::Device>,
}

impl Compute {
    /// The CPU.
    pub fn cpu() -> Self {
        Self {
            name: "cpu".to_owned(),
            #[cfg(feature = "gpu")]
            device: None,
        }
    }

    /// Looks once for what was asked for. With [`DeviceChoice::Auto`], the second part says why the
    /// CPU is used although this build supports graphics adapters.
    ///
    /// # Errors
    /// [`DeviceError`] if a graphics adapter was asked for and cannot be used.
    pub fn probe(choice: DeviceChoice) -> Result<(Self, Option<DeviceError>), DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok((Self::cpu(), None)),
            DeviceChoice::Gpu => Self::adapter().map(|found| (found, None)),
            DeviceChoice::Auto => Ok(match Self::adapter() {
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

    #[cfg(not(feature = "gpu"))]
    fn adapter() -> Result<Self, DeviceError> {
        Err(DeviceError::NotBuilt)
    }

    /// Software adapters are slower than the CPU kernel, so they are refused unless the environment
    /// variable `FORESHADOW_SOFTWARE_GPU` is set.
    #[cfg(feature = "gpu")]
    fn adapter() -> Result<Self, DeviceError> {
        let (device, setup) = burn::tensor::Device::wgpu_options()
            .init_with_setup()
            .map_err(|error| DeviceError::NoAdapter(error.to_string()))?;
        let found = setup.adapter.get_info();
        let software = format!("{:?}", found.device_type) == "Cpu";
        if software && std::env::var_os("FORESHADOW_SOFTWARE_GPU").is_none() {
            return Err(DeviceError::NoAdapter(format!(
                "`{}` is a software adapter",
                found.name
            )));
        }
        Ok(Self {
            name: found.name,
            device: Some(device),
        })
    }

    /// Loss, gradient and carried state of a chunk.
    #[cfg_attr(
        not(feature = "gpu"),
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
        #[cfg(feature = "gpu")]
        if let Some(device) = &self.device {
            return crate::graph::Graph::new(size, weights, &device.clone().autodiff())
                .gradient(chunk);
        }
        gradient(size, weights, chunk)
    }
}
