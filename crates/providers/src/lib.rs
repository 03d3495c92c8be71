//! Providers start, hold, thaw and stop real resources, and report what becomes of them.

mod clock;
mod event;
mod process;
mod provider;
mod spec;

pub use event::{GoneReason, ProviderEvent};
pub use process::{ProcessProvider, ReconcileReport};
pub use provider::{Provider, ProviderError};
pub use spec::{Hold, ProbeSpec, ProcessSpec, Readiness, Reset, SpecError};
