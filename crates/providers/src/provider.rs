//! The trait that every provider implements.

use foreshadow_types::{
    AllocationId, ApplicationId, FencingToken, InstanceId, PoolName, TenantId, UserId,
};
use thiserror::Error;

/// Why a provider could not be set up.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// A file or folder of the provider could not be used.
    #[error("cannot use `{path}`: {source}")]
    Io {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not known how to call a cluster.
    #[error("it is not known how to call the cluster of pool `{pool}`: {reason}")]
    Cluster {
        /// Whose.
        pool: PoolName,
        /// Why.
        reason: String,
    },
    /// The specification is not usable.
    #[error(transparent)]
    Spec(#[from] crate::SpecError),
}

/// A request that waits for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its allocation.
    pub allocation: AllocationId,
    /// The tenant that asked.
    pub tenant: TenantId,
    /// For whom, if said.
    pub user: Option<UserId>,
    /// For what, if said.
    pub application: Option<ApplicationId>,
}

/// A lease of an instance: the first, of those that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its allocation.
    pub allocation: AllocationId,
    /// What its holder shows.
    pub token: FencingToken,
}

/// Starts, holds, thaws and stops instances.
///
/// Every command returns at once and is carried out in the background, for each instance in order;
/// what comes of it is reported as a [`crate::ProviderEvent`] on the channel that the provider was
/// given. All commands are safe to repeat. Holding, thawing and probing an instance that is not
/// known does nothing, since its end is reported already.
pub trait Provider: Send + Sync + 'static {
    /// The kind of provider that a pool's instances are started by, in the configuration's word.
    fn kind(&self, pool: &PoolName) -> &'static str;

    /// Starts an instance under an id minted beforehand, or goes on with a start that an earlier
    /// run of the server began. Answered by `Ready` or `Failed`.
    fn start(&self, pool: &PoolName, instance: InstanceId);

    /// The same for an instance that a request waits for.
    fn start_for(&self, pool: &PoolName, instance: InstanceId, claim: &Claim) {
        let _ = claim;
        self.start(pool, instance);
    }

    /// Finds out whether an instance of an earlier run still lives. Answered by `Ready` or `Gone`.
    fn verify(&self, pool: &PoolName, instance: InstanceId);

    /// Makes an instance as new. Answered by `Ready` or `Failed`.
    fn reset(&self, pool: &PoolName, instance: InstanceId);

    /// Puts a ready instance at rest, at the least cost.
    fn hold(&self, instance: InstanceId);

    /// Wakes an instance that was put at rest, for this lease if it is not over by now.
    fn thaw(&self, instance: InstanceId, lease: Option<Lease>);

    /// Ends an instance, also one of an earlier run. Answered by `Gone`, also if there is none.
    fn stop(&self, instance: InstanceId);

    /// Checks an instance now rather than at its next turn.
    fn probe(&self, instance: InstanceId);
}
