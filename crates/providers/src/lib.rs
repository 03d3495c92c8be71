//! Providers start, hold, thaw and stop real resources, and report what becomes of them.

mod clock;
mod event;
mod external;
mod fallback;
mod pause;
mod process;
mod provider;
mod providers;
mod random;
mod records;
mod spec;
mod supervision;
pub mod wire;

pub use event::{GoneReason, ProviderEvent};
pub use external::{ExternalProvider, ExternalSpec};
pub use fallback::FallbackSpec;
pub use process::{ProcessProvider, ReconcileReport};
pub use provider::{Claim, Provider, ProviderError};
pub use providers::Providers;
pub use spec::{Hold, ProbeSpec, ProcessSpec, Readiness, Reset, SpecError};
