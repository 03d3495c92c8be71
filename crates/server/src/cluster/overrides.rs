//! Overrides: each is in the shard of its pool, and their names are those of all.

use axum::{
    http::{Uri, header},
    response::Response,
};
use foreshadow_api::v1::{self, set_override_request::Change};
use foreshadow_engine::EngineError;
use foreshadow_types::ShardId;

use super::{
    dispatch::{Asked, get},
    join::{TAG_BREAK, from_all, together},
    wire::{Call, answer},
};
use crate::{error::ApiError, http::if_match};

/// Sets, extends or clears an override. What is changed against is compared for all shards at once; one
/// that goes to a pool of another shard ends where it was.
pub(super) async fn set(asked: &Asked) -> Result<Response, ApiError> {
    let mut request: v1::SetOverrideRequest = asked.call.message()?;
    let given = if_match(&asked.call.parts.headers)?;
    if !given.is_empty() {
        request.etag = given;
    }
    let listing = listing(asked)?;
    let lists = from_all::<v1::ListOverridesResponse>(&listing).await;
    let lists: Result<Vec<_>, _> = lists.into_iter().collect();
    let lists = match lists {
        Ok(lists) => lists,
        Err(refusal) => return Ok(refusal.response),
    };
    check_tag(&request.etag, &lists)?;
    let named = found(&lists, name_of(&request));
    let target = match &request.change {
        Some(Change::Set(set)) => asked.front.of_pool(&set.pool),
        Some(Change::Extend(_) | Change::Clear(_)) | None => named.unwrap_or_default(),
    };
    let response = change(asked, &request, target, &lists).await;
    if let Err(refusal) = answer::<v1::SetOverrideResponse>(response).await {
        return Ok(refusal.response);
    }
    if let Some(before) = named.filter(|&before| before != target) {
        let clear = v1::SetOverrideRequest {
            change: Some(Change::Clear(name_of(&request).to_owned())),
            ..request.clone()
        };
        let response = change(asked, &clear, before, &lists).await;
        if let Err(refusal) = answer::<v1::SetOverrideResponse>(response).await {
            return Ok(refusal.response);
        }
    }
    Ok(all_now(asked, &listing).await)
}

/// The question what overrides there are, as the same caller would ask it.
fn listing(asked: &Asked) -> Result<Asked, ApiError> {
    let mut listing = asked.clone();
    if asked.call.is_grpc() {
        listing.call = asked.call.with(&v1::ListOverridesRequest {});
        listing.call.parts.uri = Uri::from_static("/foreshadow.v1.Admin/ListOverrides");
    } else {
        listing.call = get(&asked.call, "/admin/shadow_override")?;
    }
    Ok(listing)
}

fn name_of(request: &v1::SetOverrideRequest) -> &str {
    match &request.change {
        Some(Change::Set(set)) => &set.name,
        Some(Change::Extend(extend)) => &extend.name,
        Some(Change::Clear(name)) => name,
        None => "",
    }
}

/// The shard that has an override of this name.
fn found(lists: &[v1::ListOverridesResponse], name: &str) -> Option<ShardId> {
    let has = |list: &v1::ListOverridesResponse| list.overrides.iter().any(|one| one.name == name);
    let place = lists.iter().position(has)?;
    Some(ShardId(place as u16))
}

fn check_tag(given: &str, lists: &[v1::ListOverridesResponse]) -> Result<(), ApiError> {
    let tags: Vec<&str> = lists.iter().map(|list| &*list.etag).collect();
    let current = tags.join(&TAG_BREAK.to_string());
    if given.is_empty() || given == current {
        return Ok(());
    }
    let given = given.to_owned();
    Err(EngineError::EtagMismatch { given, current }.into())
}

/// Changes one shard, if nothing has come between there.
async fn change(
    asked: &Asked,
    request: &v1::SetOverrideRequest,
    shard: ShardId,
    lists: &[v1::ListOverridesResponse],
) -> Response {
    let mut part = request.clone();
    if !part.etag.is_empty() {
        let list = lists.get(usize::from(shard.0));
        part.etag = list.map(|list| list.etag.clone()).unwrap_or_default();
    }
    let mut call: Call = asked.call.with(&part);
    call.parts.headers.remove(header::IF_MATCH);
    asked.send(shard, call).await
}

/// All overrides, as the answer to a change of one.
async fn all_now(asked: &Asked, listing: &Asked) -> Response {
    let lists = from_all::<v1::ListOverridesResponse>(listing).await;
    let lists: Result<Vec<_>, _> = lists.into_iter().collect();
    let lists = match lists {
        Ok(lists) => lists,
        Err(refusal) => return refusal.response,
    };
    let answers = lists.into_iter().map(|list| v1::SetOverrideResponse {
        etag: list.etag,
        overrides: list.overrides,
    });
    together(asked, answers.collect())
}
