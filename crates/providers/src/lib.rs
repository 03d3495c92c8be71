//! Providers start, hold, thaw and stop real resources, and report what becomes of them.

mod clock;
mod confinement;
mod event;
mod external;
mod fallback;
mod kubernetes;
mod owner;
mod pause;
mod process;
mod provider;
mod providers;
mod random;
mod records;
mod roster;
mod spec;
mod supervision;
mod sweep;
pub mod trace;
pub mod wire;

pub use confinement::{Limits, RunAs};
pub use event::{GoneReason, ProviderEvent};
pub use external::{ExternalProvider, ExternalSpec};
pub use fallback::FallbackSpec;
#[cfg(feature = "kubernetes")]
pub use kubernetes::KubernetesProvider;
pub use kubernetes::{KubernetesSpec, Owner, Template, TemplateError};
pub use owner::new_owner;
pub use process::{ProcessProvider, ReconcileReport};
pub use provider::{Claim, Lease, Provider, ProviderError};
pub use providers::Providers;
pub use spec::{Hold, ProbeSpec, ProcessSpec, Readiness, Reset, SpecError};
