//! Claims and lists over shards.

use axum::{extract::Query, http::Uri, response::Response};
use foreshadow_api::v1::{self, allocate_request::Target};
use foreshadow_types::{AllocationId, ShardId};

use super::{
    dispatch::Asked,
    join::from,
    wire::{answer, told},
};
use crate::{error::ApiError, http::AskedAllocations};

/// A claim of a pool goes to its shard. One by requirements goes to the shards in an order that is the
/// same for the same request, until one has a pool that fits.
pub(super) async fn allocate(
    asked: &Asked,
    wanted: v1::AllocateRequest,
) -> Result<Response, ApiError> {
    let Some(Target::Requirements(_)) = &wanted.target else {
        let shard = match &wanted.target {
            Some(Target::Pool(pool)) => asked.front.of_pool(pool),
            Some(Target::Requirements(_)) | None => ShardId(0),
        };
        return asked.to(shard).await;
    };
    let mut refused = None;
    for shard in from(asked, first_for(asked, &wanted)) {
        match answer::<v1::Allocation>(asked.to(shard).await?).await {
            Ok(granted) => return Ok(told(asked.call.is_grpc(), &granted)),
            Err(refusal) if refusal.elsewhere => {
                refused.get_or_insert(refusal);
            }
            Err(refusal) => return Ok(refusal.response),
        }
    }
    let none = || ApiError::unavailable("there are no shards");
    Ok(refused.ok_or_else(none)?.response)
}

/// Where to begin, so that a repeated request finds what it got, and others are spread.
pub(super) fn first_for(asked: &Asked, wanted: &v1::AllocateRequest) -> ShardId {
    let names = [
        &wanted.idempotency_key,
        &wanted.merge_key,
        &wanted.user_id,
        &wanted.application_id,
        &wanted.tenant_id,
    ];
    let name = names.into_iter().find(|name| !name.is_empty());
    asked.front.of_entity(name.map_or("", String::as_str))
}

/// The query of a list over HTTP.
pub(super) fn asked(uri: &Uri) -> Result<v1::ListRequest, ApiError> {
    let query = Query::<AskedAllocations>::try_from_uri(uri);
    let Query(asked) = query.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    asked.request()
}

/// A page of allocations. Ids rise from shard to shard, so pages go through the shards in order, and
/// the token of a page tells the shard that the next begins in.
pub(super) async fn list(asked: &Asked, request: v1::ListRequest) -> Result<Response, ApiError> {
    let mut shard = asked.front.of_id::<AllocationId>(&request.page_token);
    if !request.pool.is_empty() {
        shard = asked.front.of_pool(&request.pool);
        return asked.to(shard).await;
    }
    let page = match answer::<v1::ListResponse>(asked.to(shard).await?).await {
        Ok(page) => page,
        Err(refusal) => return Ok(refusal.response),
    };
    let last = asked.front.shared.shards.count() - 1;
    let mut page = page;
    if page.next_page_token.is_empty() && shard.0 < last {
        // The next shard's allocations come after this.
        shard = ShardId(shard.0 + 1);
        page.next_page_token = AllocationId(shard.numbers_above()).to_string();
    }
    Ok(told(asked.call.is_grpc(), &page))
}
