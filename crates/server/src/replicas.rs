//! The numbers of a pool that autoscalers of others go by.

use foreshadow_engine::{EngineHandle, PoolView};
use foreshadow_types::PoolName;

use crate::error::ApiError;

/// Which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Number {
    /// Warm instances that the plan asks for; in a preview, those it would ask for.
    #[default]
    Target,
    /// The same and those on lease.
    Total,
    /// On lease.
    Leased,
    /// Ready without a holder.
    Ready,
    /// Requests that wait.
    Queued,
}

impl Number {
    pub(crate) const ALL: [Self; 5] = [
        Self::Target,
        Self::Total,
        Self::Leased,
        Self::Ready,
        Self::Queued,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Total => "total",
            Self::Leased => "leased",
            Self::Ready => "ready",
            Self::Queued => "queued",
        }
    }

    /// The number of this pool now.
    ///
    /// # Errors
    /// `UNAVAILABLE` before the first plan: an autoscaler is to keep what it has rather than go by a
    /// zero that means nothing.
    pub(crate) fn of(self, pool: &PoolView) -> Result<u32, ApiError> {
        let status = &pool.status;
        match self {
            Self::Target => planned(pool),
            Self::Total => Ok(planned(pool)?.saturating_add(status.leased)),
            Self::Leased => Ok(status.leased),
            Self::Ready => Ok(status.ready),
            Self::Queued => Ok(status.queued),
        }
    }
}

fn planned(pool: &PoolView) -> Result<u32, ApiError> {
    pool.planned.ok_or_else(|| {
        let name = &pool.status.name;
        ApiError::unavailable(format!(
            "pool `{name}` has no plan yet; ask again in a moment"
        ))
    })
}

/// The pool of this name as it stands.
///
/// # Errors
/// `INVALID_ARGUMENT` if it cannot be a pool's name, `NOT_FOUND` if there is none.
pub(crate) async fn pool_named(engine: &EngineHandle, name: &str) -> Result<PoolView, ApiError> {
    let name = PoolName::new(name).map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(engine.pool(name).await?)
}
