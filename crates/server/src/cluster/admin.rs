//! Changes that are about several shards, and what is written down of them.

use axum::{
    extract::Query,
    http::{Uri, header},
    response::Response,
};
use foreshadow_api::v1;
use foreshadow_types::ShardId;
use futures::future::join_all;
use percent_encoding::NON_ALPHANUMERIC;

use super::{
    dispatch::{Asked, get},
    join::{TAG_BREAK, together},
    wire::{Call, Refusal, answer, told},
};
use crate::{error::ApiError, http::AskedChanges};

/// The configuration is the same in all shards. The first takes it up as it is asked to, and decides
/// between changes at a time; the others follow, whatever they had.
pub(super) async fn set_config(asked: &Asked) -> Result<Response, ApiError> {
    let follow = if asked.call.is_grpc() {
        let mut request: v1::SetShadowConfigRequest = asked.call.message()?;
        request.etag.clear();
        if let Some(config) = &mut request.config {
            config.etag.clear();
        }
        asked.call.with(&request)
    } else {
        let mut config: v1::ShadowConfig = asked.call.message()?;
        config.etag.clear();
        let mut call = asked.call.with(&config);
        call.parts.headers.remove(header::IF_MATCH);
        call
    };
    Ok(first_then_others(asked, follow).await)
}

/// Lets a pool's plans be carried out: a change of the configuration too.
pub(super) async fn make_live(asked: &Asked) -> Response {
    first_then_others(asked, asked.call.clone()).await
}

async fn first_then_others(asked: &Asked, follow: Call) -> Response {
    let first = asked.to(ShardId(0)).await;
    let first = match answer::<v1::SetShadowConfigResponse>(first).await {
        Ok(taken) => taken,
        Err(refusal) => return refusal.response,
    };
    let shards = asked.front.all().skip(1);
    let others = join_all(shards.map(async |shard| {
        let taken = asked.send(shard, follow.clone()).await;
        answer::<v1::SetShadowConfigResponse>(taken).await
    }));
    let taken: Result<Vec<_>, _> = others.await.into_iter().collect();
    match taken {
        Ok(others) => together(asked, std::iter::once(first).chain(others).collect()),
        Err(refusal) => incomplete(refusal),
    }
}

/// A shard that could not be reached does not have the change: whoever made it makes it again.
fn incomplete(refusal: Refusal) -> Response {
    tracing::warn!("a shard has not taken up a change that others have; it is to be made again");
    refusal.response
}

/// Every shard is told what is said of its own pools.
pub(super) async fn set_quota(asked: &Asked) -> Result<Response, ApiError> {
    let whole: v1::TenantQuota = asked.call.message()?;
    let shards = asked.front.all();
    let told_each = join_all(shards.map(async |shard| {
        let mut part = whole.clone();
        part.warm
            .retain(|pool, _| asked.front.of_pool(pool) == shard);
        let taken = asked.send(shard, asked.call.with(&part)).await;
        answer::<v1::TenantQuota>(taken).await
    }));
    let refused = told_each.await.into_iter().find_map(Result::err);
    Ok(refused.map_or_else(|| told(asked.call.is_grpc(), &whole), incomplete))
}

/// The query of the audit log over HTTP.
pub(super) fn asked_changes(uri: &Uri) -> Result<v1::ListAuditEventsRequest, ApiError> {
    let query = Query::<AskedChanges>::try_from_uri(uri);
    let Query(asked) = query.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    Ok(asked.request())
}

fn changes_path(request: &v1::ListAuditEventsRequest) -> String {
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!(
        "/admin/audit?who={}&action={}&pageToken={}&pageSize={}",
        encoded(&request.who),
        encoded(&request.action),
        encoded(&request.page_token),
        request.page_size
    )
}

/// What was changed, shard by shard: each page is of one, and its token tells which and where.
pub(super) async fn audit(
    asked: &Asked,
    mut wanted: v1::ListAuditEventsRequest,
) -> Result<Response, ApiError> {
    let (shard, token) = match wanted.page_token.split_once(TAG_BREAK) {
        Some((shard, token)) => (shard.parse().unwrap_or_default(), token.to_owned()),
        None => (0, wanted.page_token),
    };
    wanted.page_token = token;
    let call = if asked.call.is_grpc() {
        asked.call.with(&wanted)
    } else {
        get(&asked.call, &changes_path(&wanted))?
    };
    let page = asked.send(ShardId(shard), call).await;
    let mut page = match answer::<v1::ListAuditEventsResponse>(page).await {
        Ok(page) => page,
        Err(refusal) => return Ok(refusal.response),
    };
    if !page.next_page_token.is_empty() {
        page.next_page_token = format!("{shard}{TAG_BREAK}{}", page.next_page_token);
    } else if shard + 1 < asked.front.shared.shards.count() {
        page.next_page_token = format!("{}{TAG_BREAK}", shard + 1);
    }
    Ok(told(asked.call.is_grpc(), &page))
}
