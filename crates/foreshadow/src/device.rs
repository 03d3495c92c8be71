//! Where networks are computed, as commands and the configuration name it.

use clap::ValueEnum;
use foreshadow_lstm::{Compute, DeviceChoice, DeviceError};
use serde::Deserialize;

use crate::failure::Failure;

/// What is asked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Device {
    /// A graphics card where this build and machine have one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A graphics card, or an error.
    Gpu,
}

impl Device {
    /// Looks for it; `asked_by` names the option or key in an error. Beside it stands why the CPU is used
    /// although this build could use a graphics card.
    pub(crate) fn compute(self, asked_by: &str) -> Result<(Compute, Option<DeviceError>), Failure> {
        let choice = match self {
            Self::Auto => DeviceChoice::Auto,
            Self::Cpu => DeviceChoice::Cpu,
            Self::Gpu => DeviceChoice::Gpu,
        };
        Compute::probe(choice).map_err(|error| Failure::bad_input(format!("{asked_by}: {error}")))
    }
}
