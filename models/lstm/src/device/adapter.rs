//! Graphics adapters: found once a process, and not asked again once they have failed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use burn::tensor::Device;

use crate::card::Buckets;
#[cfg(feature = "gpu")]
use crate::device::{DeviceChoice, DeviceError};

/// Series a core below which the CPU forecasts them unless it is told not to. A batch asks a card for two
/// hundred small kernels and waits for an answer, some milliseconds whatever its size; a core
/// forecasts 75,000 series a second, this many in 3.4 ms.
#[cfg(feature = "gpu")]
const SERIES_A_CORE: usize = 256;

/// An adapter that was found.
#[derive(Debug, Clone)]
pub(crate) struct Adapter {
    name: String,
    pub(crate) device: Device,
    software: bool,
    /// Series that it is worth asking for.
    least: usize,
    lost: Arc<AtomicBool>,
    /// Sizes of batches, of blocks and of series, other than the usual ones.
    batches: Option<(Buckets, Buckets)>,
}

impl Adapter {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Series that it is worth asking for.
    pub(crate) fn least(&self) -> usize {
        self.least
    }

    /// Whether it is to be asked for so many series.
    pub(crate) fn serves(&self, series: usize) -> bool {
        series >= self.least && !self.is_lost()
    }

    /// Whether the CPU plays it.
    pub(crate) fn is_software(&self) -> bool {
        self.software
    }

    /// Sizes of batches, of blocks and of series, where they are not the usual ones.
    pub(crate) fn batches(&self) -> Option<(Buckets, Buckets)> {
        self.batches
    }

    /// With batches of these sizes.
    #[cfg(test)]
    pub(crate) fn sized(self, blocks: Buckets, series: Buckets) -> Self {
        Self {
            batches: Some((blocks, series)),
            ..self
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Does without it from now on, whichever network would have run there.
    pub(crate) fn lose(&self, reason: &str) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::error!(
                adapter = self.name,
                reason,
                "the graphics adapter failed; forecasts are made on the cpu until a restart"
            );
        }
    }

    /// Looks for an adapter, or remembers what was found.
    #[cfg(feature = "gpu")]
    pub(crate) fn find(choice: DeviceChoice) -> Result<Self, DeviceError> {
        let found = found::adapter()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            name: found.name,
            device: found.device,
            software: found.software,
            least: match choice {
                DeviceChoice::Auto => SERIES_A_CORE * cores,
                DeviceChoice::Cpu | DeviceChoice::Gpu => 0,
            },
            lost: found.lost,
            batches: None,
        })
    }

    /// Takes the adapter's device away from this process.
    #[cfg(all(test, feature = "gpu"))]
    pub(crate) fn destroy_device() {
        let found = found::adapter().expect("there is an adapter");
        (found.destroy)();
    }

    /// burn's own CPU device, in place of a card.
    #[cfg(test)]
    pub(crate) fn stand_in() -> Self {
        Self {
            name: "flex".to_owned(),
            device: Device::flex(),
            software: true,
            least: 0,
            lost: Arc::default(),
            batches: None,
        }
    }
}

#[cfg(feature = "gpu")]
mod found {
    use std::{
        panic::catch_unwind,
        sync::{Arc, OnceLock, atomic::AtomicBool},
    };

    use burn::tensor::Device;

    use crate::{card::said, device::DeviceError};

    /// What there is, as long as the process lives: burn sets a device up only once.
    #[derive(Clone)]
    pub(super) struct Found {
        pub(super) name: String,
        pub(super) device: Device,
        pub(super) lost: Arc<AtomicBool>,
        pub(super) software: bool,
        /// Takes the device away from whoever uses it, as a driver that resets does.
        #[cfg(test)]
        pub(super) destroy: Arc<dyn Fn() + Send + Sync>,
    }

    static FOUND: OnceLock<Result<Found, DeviceError>> = OnceLock::new();

    /// Software adapters are slower than the CPU kernel, so they are refused unless the environment
    /// variable `FORESHADOW_SOFTWARE_GPU` is set.
    pub(super) fn adapter() -> Result<Found, DeviceError> {
        let found = FOUND.get_or_init(look).clone()?;
        if found.software && std::env::var_os("FORESHADOW_SOFTWARE_GPU").is_none() {
            let name = found.name;
            let reason = format!(
                "`{name}` is a software adapter, which `FORESHADOW_SOFTWARE_GPU=1` would allow"
            );
            return Err(DeviceError::NoAdapter(reason));
        }
        Ok(found)
    }

    fn look() -> Result<Found, DeviceError> {
        let set_up = catch_unwind(|| Device::wgpu_options().init_with_setup());
        let set_up = set_up.map_err(|cause| DeviceError::NoAdapter(said(&*cause)))?;
        let (device, setup) = set_up.map_err(|error| DeviceError::NoAdapter(error.to_string()))?;
        let info = setup.adapter.get_info();
        Ok(Found {
            software: format!("{:?}", info.device_type) == "Cpu",
            name: info.name,
            device,
            lost: Arc::default(),
            #[cfg(test)]
            destroy: Arc::new(move || setup.device.destroy()),
        })
    }
}
