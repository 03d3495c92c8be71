//! What there is to read of pools: for gRPC and HTTP alike.

use std::time::Duration;

use foreshadow_api::{page_size, required_name, timestamp_from_proto, v1};
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

/// A page of the pools as they are, by name. Its token is the last of them.
pub(crate) async fn pools(
    engine: &EngineHandle,
    request: v1::ListPoolsRequest,
) -> Result<v1::ListPoolsResponse, ApiError> {
    let mut views = engine.pools().await?;
    views.retain(|view| view.status.name.as_str() > request.page_token.as_str());
    views.sort_by(|a, b| a.status.name.cmp(&b.status.name));
    let size = page_size(request.page_size);
    let is_last = views.len() <= size;
    views.truncate(size);
    let last = views.last().filter(|_| !is_last);
    Ok(v1::ListPoolsResponse {
        next_page_token: last.map_or_else(String::new, |view| view.status.name.to_string()),
        pools: pool_statuses(engine, views, now()).await,
    })
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
