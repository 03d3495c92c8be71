//! Claims and lists over shards.

use axum::{extract::Query, http::Uri, response::Response};
use foreshadow_api::v1::{self, allocate_request::Target};
use foreshadow_types::{AllocationId, ShardId};

use super::{
    dispatch::Asked,
    moving,
    wire::{answer, refusal, told},
};
use crate::{error::ApiError, http::AskedAllocations};

/// A claim of a pool goes to its shard. One by requirements goes to the shards in an order that is the
/// same for the same request, until one has a pool that fits.
pub(super) async fn allocate(asked: Asked, wanted: v1::AllocateRequest) -> Response {
    let Some(Target::Requirements(_)) = &wanted.target else {
        let shard = match &wanted.target {
            Some(Target::Pool(pool)) => asked.front.of_pool(pool),
            Some(Target::Requirements(_)) | None => ShardId(0),
        };
        return asked.go(shard).await;
    };
    let mut refused = None;
    for shard in asked.front.from(asked.front.first_for(&wanted)) {
        match answer::<v1::Allocation>(asked.to(shard).await).await {
            Ok(granted) => return told(asked.call.is_grpc(), &granted),
            Err(refusal) if refusal.is_for_others() => {
                refused.get_or_insert(refusal);
            }
            Err(refusal) => return refusal.response,
        }
    }
    let none = || refusal(asked.call.is_grpc(), moving(ShardId(0)));
    refused.map_or_else(none, |refusal| refusal.response)
}

/// The query of a list over HTTP.
pub(super) fn asked(uri: &Uri) -> Result<v1::ListRequest, ApiError> {
    let query = Query::<AskedAllocations>::try_from_uri(uri);
    let Query(asked) = query.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    asked.request()
}

/// A page of allocations. Ids rise from shard to shard, so pages go through the shards in order, and
/// the token of a page tells the shard that the next begins in.
pub(super) async fn list(asked: Asked, wanted: v1::ListRequest) -> Response {
    if !wanted.pool.is_empty() {
        let shard = asked.front.of_pool(&wanted.pool);
        return asked.go(shard).await;
    }
    let shard = asked.front.of_id::<AllocationId>(&wanted.page_token);
    let last = asked.front.shared.shards.count() - 1;
    let grpc = asked.call.is_grpc();
    let mut page = match answer::<v1::ListResponse>(asked.go(shard).await).await {
        Ok(page) => page,
        Err(refusal) => return refusal.response,
    };
    if page.next_page_token.is_empty() && shard.0 < last {
        // The next shard's allocations come after this.
        let next = ShardId(shard.0 + 1).numbers_above();
        page.next_page_token = AllocationId(next).to_string();
    }
    told(grpc, &page)
}
