//! What there is to read of pools: for gRPC and HTTP alike.

use std::time::Duration;

use foreshadow_api::{required_name, timestamp_from_proto, v1};
use foreshadow_engine::{EngineHandle, PoolHistoryRequest};
use foreshadow_types::PoolName;

use crate::{
    clock::now,
    convert::{history_to_proto, pool_status, pool_statuses},
    error::ApiError,
};

/// How much of the past is shown where nothing is said of it.
const USUAL_SPAN: Duration = Duration::from_hours(6);
/// Steps of a history, where nothing is said of them and at the most.
const USUAL_STEPS: u32 = 240;
const MOST_STEPS: u32 = 1_000;

/// All pools as they are.
pub(crate) async fn pools(engine: &EngineHandle) -> Result<v1::ListPoolsResponse, ApiError> {
    let pools = pool_statuses(engine, now()).await?;
    Ok(v1::ListPoolsResponse { pools })
}

/// One pool as it is.
pub(crate) async fn pool(
    engine: &EngineHandle,
    request: v1::GetPoolRequest,
) -> Result<v1::PoolStatus, ApiError> {
    let name = required_name("pool", &request.pool, PoolName::new)?;
    pool_status(engine, name, now()).await
}

/// What was asked of a pool and planned for it.
pub(crate) async fn pool_history(
    engine: &EngineHandle,
    request: v1::GetPoolHistoryRequest,
) -> Result<v1::PoolHistory, ApiError> {
    let to = timestamp_from_proto("to", request.to)?.unwrap_or_else(now);
    let from = timestamp_from_proto("from", request.from)?;
    let steps = match request.max_steps {
        0 => USUAL_STEPS,
        given => given.min(MOST_STEPS),
    };
    let request = PoolHistoryRequest {
        pool: required_name("pool", &request.pool, PoolName::new)?,
        from: from.unwrap_or(to - USUAL_SPAN),
        to,
        max_steps: steps,
    };
    Ok(history_to_proto(engine.pool_history(request).await?))
}
