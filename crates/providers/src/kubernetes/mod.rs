//! Instances in a Kubernetes cluster: pods, or other objects that a controller there makes ready.

mod spec;
mod template;

#[cfg(feature = "kubernetes")]
mod care;
#[cfg(feature = "kubernetes")]
mod cluster;
#[cfg(feature = "kubernetes")]
mod contact;
#[cfg(feature = "kubernetes")]
mod identity;
#[cfg(feature = "kubernetes")]
mod instance;
#[cfg(feature = "kubernetes")]
mod object;
#[cfg(feature = "kubernetes")]
mod place;
#[cfg(feature = "kubernetes")]
mod provider;
#[cfg(feature = "kubernetes")]
mod record;
#[cfg(feature = "kubernetes")]
mod shared;
#[cfg(feature = "kubernetes")]
mod sights;
#[cfg(feature = "kubernetes")]
mod stage;
#[cfg(feature = "kubernetes")]
mod words;

#[cfg(feature = "kubernetes")]
pub use self::provider::KubernetesProvider;
pub use self::{
    spec::{KubernetesSpec, Owner},
    template::{Template, TemplateError},
};
