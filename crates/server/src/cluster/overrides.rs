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
    wire::{Call, Refusal, answer},
};
use crate::{error::ApiError, http::if_match};

/// Sets, extends or clears an override. What is changed against is compared for all shards at once. It is
/// in one shard afterwards: one that goes to a pool of another shard ends where it was, and what was left of
/// a move that was not done to its end ends too.
pub(super) async fn set(asked: &Asked) -> Result<Response, ApiError> {
    let mut request: v1::SetOverrideRequest = asked.call.message()?;
    let given = if_match(&asked.call.parts.headers)?;
    if !given.is_empty() {
        request.etag = given;
    }
    let lists = from_all::<v1::ListOverridesResponse>(&listing(asked)?).await;
    let lists: Result<Vec<_>, _> = lists.into_iter().collect();
    let mut lists = match lists {
        Ok(lists) => lists,
        Err(refusal) => return Ok(refusal.response),
    };
    check_tag(&request.etag, &lists)?;
    let name = name_of(&request);
    let having = having(&lists, name);
    let target = match &request.change {
        Some(Change::Set(set)) => asked.front.of_pool(&set.pool),
        Some(Change::Extend(_) | Change::Clear(_)) | None => {
            having.first().copied().unwrap_or_default()
        }
    };
    if let Err(refusal) = change(asked, &request, target, &mut lists).await {
        return Ok(refusal.response);
    }
    let clear = v1::SetOverrideRequest {
        change: Some(Change::Clear(name.to_owned())),
        ..request.clone()
    };
    for before in having.into_iter().filter(|&one| one != target) {
        if let Err(refusal) = change(asked, &clear, before, &mut lists).await {
            return Ok(refusal.response);
        }
    }
    let answers = lists.into_iter().map(|list| v1::SetOverrideResponse {
        etag: list.etag,
        overrides: list.overrides,
    });
    Ok(together(asked, answers.collect()))
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

/// The shards that have an override of this name.
fn having(lists: &[v1::ListOverridesResponse], name: &str) -> Vec<ShardId> {
    let has = |list: &v1::ListOverridesResponse| list.overrides.iter().any(|one| one.name == name);
    let shards = lists.iter().enumerate().filter(|(_, list)| has(list));
    shards.map(|(place, _)| ShardId(place as u16)).collect()
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

/// Changes one shard, if nothing has come between there; its overrides are then those of the answer.
async fn change(
    asked: &Asked,
    request: &v1::SetOverrideRequest,
    shard: ShardId,
    lists: &mut [v1::ListOverridesResponse],
) -> Result<(), Refusal> {
    let list = &mut lists[usize::from(shard.0)];
    let mut part = request.clone();
    if !part.etag.is_empty() {
        part.etag.clone_from(&list.etag);
    }
    let mut call: Call = asked.call.with(&part);
    call.parts.headers.remove(header::IF_MATCH);
    let changed: v1::SetOverrideResponse = answer(asked.send(shard, call).await).await?;
    *list = v1::ListOverridesResponse {
        overrides: changed.overrides,
        etag: changed.etag,
    };
    Ok(())
}
