//! `/api/v1/overview`: what the console polls.

use axum::{Json, extract::State};
use foreshadow_api::v1;

use super::HttpState;
use crate::{clock::now, convert, error::ApiError};

pub(crate) async fn overview(
    State(state): State<HttpState>,
) -> Result<Json<v1::Overview>, ApiError> {
    convert::overview(&state.engine, now()).await.map(Json)
}
