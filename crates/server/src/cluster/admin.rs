//! Changes that are about several shards.

use axum::{
    extract::Query,
    http::{HeaderValue, Uri, header},
    response::Response,
};
use foreshadow_api::v1::{self, set_override_request::Change};
use foreshadow_types::ShardId;
use futures::future::join_all;
use percent_encoding::NON_ALPHANUMERIC;

use super::{
    dispatch::{Asked, get},
    join::{TAG_BREAK, every, together},
    wire::{Call, Refusal, answer, told},
};
use crate::{
    error::ApiError,
    http::{AskedChanges, if_match},
};

/// The configuration is the same in all shards. The first takes it up as it is asked to, and decides
/// between changes at a time; the others follow.
pub(super) async fn set_config(asked: &Asked) -> Result<Response, ApiError> {
    let follow = if asked.call.is_grpc() {
        let mut request: v1::SetShadowConfigRequest = asked.call.message()?;
        request.etag.clear();
        asked.call.with(&request)
    } else {
        without_condition(&asked.call)
    };
    first_then_others(asked, asked.call.clone(), follow).await
}

/// Lets a pool's plans be carried out: a change of the configuration too.
pub(super) async fn make_live(asked: &Asked) -> Result<Response, ApiError> {
    first_then_others(asked, asked.call.clone(), asked.call.clone()).await
}

async fn first_then_others(asked: &Asked, first: Call, follow: Call) -> Result<Response, ApiError> {
    let mut answers = Vec::new();
    match answer::<v1::SetShadowConfigResponse>(asked.send(ShardId(0), first).await?).await {
        Ok(taken) => answers.push(taken),
        Err(refusal) => return Ok(refusal.response),
    }
    let others = asked.front.all().skip(1).map(|shard| {
        let follow = follow.clone();
        async move {
            let response = asked.send(shard, follow).await?;
            answer::<v1::SetShadowConfigResponse>(response).await
        }
    });
    for taken in join_all(others).await {
        match taken {
            Ok(taken) => answers.push(taken),
            Err(refusal) => return Ok(incomplete(refusal)),
        }
    }
    Ok(together(asked, answers))
}

/// A shard that could not be reached does not have the change: whoever made it makes it again.
fn incomplete(refusal: Refusal) -> Response {
    tracing::warn!("a shard has not taken up a change that others have; it is to be made again");
    refusal.response
}

fn without_condition(call: &Call) -> Call {
    let mut call = call.clone();
    call.parts.headers.remove(header::IF_MATCH);
    call
}

/// An override is in the shard of its pool; by its name alone it is found in any.
pub(super) async fn set_override(asked: &Asked) -> Result<Response, ApiError> {
    let mut request: v1::SetOverrideRequest = asked.call.message()?;
    let given = if_match(&asked.call.parts.headers)?;
    if !given.is_empty() {
        request.etag = given;
    }
    let shards = match &request.change {
        Some(Change::Set(set)) => vec![asked.front.of_pool(&set.pool)],
        Some(Change::Extend(_) | Change::Clear(_)) | None => asked.front.all().collect(),
    };
    let mut refused = None;
    let mut changed = false;
    for shard in shards {
        let mut part = request.clone();
        part.etag = tag_of(&request.etag, shard);
        let call = without_condition(&asked.call).with(&part);
        match answer::<v1::SetOverrideResponse>(asked.send(shard, call).await?).await {
            Ok(_) => changed = true,
            Err(refusal) if refusal.unknown => refused = Some(refusal),
            Err(refusal) => return Ok(refusal.response),
        }
    }
    if let Some(refusal) = refused.filter(|_| !changed) {
        return Ok(refusal.response);
    }
    overrides(asked).await
}

/// All overrides, as the answer to a change of one.
async fn overrides(asked: &Asked) -> Result<Response, ApiError> {
    let mut list = asked.clone();
    if asked.call.is_grpc() {
        list.call = asked.call.with(&v1::ListOverridesRequest {});
        list.call.parts.uri = Uri::from_static("/foreshadow.v1.Admin/ListOverrides");
    } else {
        let (parts, _) = get(&asked.call, "/admin/shadow_override")?.into_parts();
        list.call = Call {
            parts,
            body: axum::body::Bytes::new(),
        };
    }
    // The two messages have the same fields, but in another order.
    let answer: v1::ListOverridesResponse =
        match answer(every::<v1::ListOverridesResponse>(&list).await?).await {
            Ok(answer) => answer,
            Err(refusal) => return Ok(refusal.response),
        };
    let answer = v1::SetOverrideResponse {
        etag: answer.etag,
        overrides: answer.overrides,
    };
    let grpc = asked.call.is_grpc();
    let mut response = told(grpc, &answer);
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", answer.etag))
        && !grpc
    {
        response.headers_mut().insert(header::ETAG, value);
    }
    Ok(response)
}

/// Of the tags of all shards, in order, that of one; of a single tag, itself.
fn tag_of(tags: &str, shard: ShardId) -> String {
    if !tags.contains(TAG_BREAK) {
        return tags.to_owned();
    }
    let tag = tags.split(TAG_BREAK).nth(usize::from(shard.0));
    tag.unwrap_or(tags).to_owned()
}

/// Every shard is told what is said of its own pools.
pub(super) async fn set_quota(asked: &Asked) -> Result<Response, ApiError> {
    let whole: v1::TenantQuota = asked.call.message()?;
    for shard in asked.front.all() {
        let mut part = whole.clone();
        part.warm
            .retain(|pool, _| asked.front.of_pool(pool) == shard);
        let call = asked.call.with(&part);
        if let Err(refusal) = answer::<v1::TenantQuota>(asked.send(shard, call).await?).await {
            return Ok(incomplete(refusal));
        }
    }
    Ok(told(asked.call.is_grpc(), &whole))
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
    request: v1::ListAuditEventsRequest,
) -> Result<Response, ApiError> {
    let (shard, token) = match request.page_token.split_once(TAG_BREAK) {
        Some((shard, token)) => (shard.parse().unwrap_or_default(), token.to_owned()),
        None => (0, request.page_token.clone()),
    };
    let mut part = request.clone();
    part.page_token = token;
    let call = if asked.call.is_grpc() {
        asked.call.with(&part)
    } else {
        let (parts, _) = get(&asked.call, &changes_path(&part))?.into_parts();
        Call {
            parts,
            body: axum::body::Bytes::new(),
        }
    };
    let mut page = match answer::<v1::ListAuditEventsResponse>(
        asked.send(ShardId(shard), call).await?,
    )
    .await
    {
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
