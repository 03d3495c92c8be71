//! `/api/v1/allocations`: claims for those who do not speak gRPC.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use foreshadow_api::v1::{self, allocation::State as Stage};
use serde::Deserialize;

use super::{HttpState, json::ProtoJson};
use crate::{access::Caller, error::ApiError};

pub(crate) async fn allocate(
    State(state): State<HttpState>,
    caller: Caller,
    ProtoJson(request): ProtoJson<v1::AllocateRequest>,
) -> Result<Json<v1::Allocation>, ApiError> {
    state.allocations.claim(&caller, request).await.map(Json)
}

pub(crate) async fn renew(
    State(state): State<HttpState>,
    caller: Caller,
    Path(id): Path<String>,
    ProtoJson(mut request): ProtoJson<v1::RenewRequest>,
) -> Result<Json<v1::Allocation>, ApiError> {
    request.allocation_id = id;
    state.allocations.put_off(&caller, request).await.map(Json)
}

pub(crate) async fn release(
    State(state): State<HttpState>,
    caller: Caller,
    Path(id): Path<String>,
    ProtoJson(mut request): ProtoJson<v1::ReleaseRequest>,
) -> Result<Json<v1::Allocation>, ApiError> {
    request.allocation_id = id;
    state
        .allocations
        .give_back(&caller, &request)
        .await
        .map(Json)
}

pub(crate) async fn cancel(
    State(state): State<HttpState>,
    caller: Caller,
    Path(allocation_id): Path<String>,
) -> Result<Json<v1::Allocation>, ApiError> {
    let request = v1::CancelRequest { allocation_id };
    state
        .allocations
        .take_back(&caller, &request)
        .await
        .map(Json)
}

/// Which allocations: the fields of `ListRequest`, with the states in one word, `GRANTED,JOINED`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(crate) struct Asked {
    tenant_id: String,
    user_id: String,
    pool: String,
    states: String,
    page_size: u32,
    page_token: String,
}

pub(crate) async fn list(
    State(state): State<HttpState>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<v1::ListResponse>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::invalid(rejection.body_text()))?;
    let request = asked.request()?;
    state.allocations.page(&caller, request).await.map(Json)
}

impl Asked {
    /// The message that it stands for.
    pub(crate) fn request(self) -> Result<v1::ListRequest, ApiError> {
        Ok(v1::ListRequest {
            states: states(&self.states)?,
            tenant_id: self.tenant_id,
            user_id: self.user_id,
            pool: self.pool,
            page_size: self.page_size,
            page_token: self.page_token,
        })
    }
}

fn states(text: &str) -> Result<Vec<i32>, ApiError> {
    let words = text.split(',').filter(|word| !word.is_empty());
    let states = words.map(|word| {
        let state = Stage::from_str_name(word);
        let state = state.filter(|&state| state != Stage::Unspecified);
        state.map(i32::from).ok_or_else(|| {
            let mend = "give GRANTED, JOINED, QUEUED, BOOKED or how one ended, with commas between";
            ApiError::invalid(format!("states: `{word}` is none; {mend}"))
        })
    });
    states.collect()
}
