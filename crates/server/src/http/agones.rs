//! `/integrations/agones/{pool}`: the webhook of an Agones `FleetAutoscaler`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};

use super::{HttpState, json::ProtoJson};
use crate::{
    error::ApiError,
    replicas::{Number, pool_named},
};

/// `FleetAutoscaleReview` as Agones sends it; what else is in it does not matter here.
#[derive(Debug, Deserialize)]
pub(crate) struct Review {
    request: ReviewRequest,
}

#[derive(Debug, Deserialize)]
struct ReviewRequest {
    uid: String,
    status: FleetStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FleetStatus {
    allocated_replicas: u32,
}

/// `FleetAutoscaleReview` as Agones reads it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reviewed {
    response: ReviewResponse,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ReviewResponse {
    uid: String,
    scale: bool,
    replicas: u32,
}

/// As many game servers as are allocated, and those that the plan wants warm. Any refusal leaves the
/// fleet as it is.
pub(crate) async fn review(
    State(state): State<HttpState>,
    Path(pool): Path<String>,
    ProtoJson(review): ProtoJson<Review>,
) -> Result<Json<Reviewed>, ApiError> {
    let target = Number::Target.of(&pool_named(&state.engine, &pool).await?)?;
    Ok(Json(reviewed(review.request, target)))
}

fn reviewed(request: ReviewRequest, target: u32) -> Reviewed {
    // Agones counts in signed 32 bits.
    let most = i32::MAX as u32;
    let replicas = request.status.allocated_replicas.saturating_add(target);
    Reviewed {
        response: ReviewResponse {
            uid: request.uid,
            scale: true,
            replicas: replicas.min(most),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(allocated: u32, target: u32) -> u32 {
        let request = ReviewRequest {
            uid: "a".to_owned(),
            status: FleetStatus {
                allocated_replicas: allocated,
            },
        };
        reviewed(request, target).response.replicas
    }

    #[test]
    fn a_fleet_is_never_below_what_is_allocated() {
        assert_eq!(replicas(5, 0), 5);
        assert_eq!(replicas(5, 3), 8);
        assert_eq!(replicas(0, 0), 0);
        assert_eq!(replicas(i32::MAX as u32, 7), i32::MAX as u32);
    }
}
