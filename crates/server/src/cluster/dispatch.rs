//! Which shard a call is about. What is not listed goes to the first shard, which refuses what nobody
//! knows.

use axum::{
    body::Body,
    extract::Request,
    http::{Method, Uri},
    response::Response,
};
use foreshadow_api::v1;
use foreshadow_types::{AllocationId, InstanceId, ShardId};
use prost::Message;

use super::{
    Credentials, Front, admin, allocations, exchange, join,
    wire::{Call, refusal},
};
use crate::{access::is_grpc, error::ApiError};

/// No path has more parts.
const MOST_PARTS: usize = 5;

/// Answers a call, wherever its shard is.
pub(super) async fn dispatch(front: Front, request: Request) -> Response {
    let grpc = is_grpc(request.headers());
    match answered(front, request).await {
        Ok(response) => response,
        Err(error) => refusal(grpc, error),
    }
}

async fn answered(front: Front, request: Request) -> Result<Response, ApiError> {
    let credentials = Credentials::of(&request)?;
    // What another replica has sent on is for the shard that it says.
    if let Some(shard) = credentials.forwarded {
        return Ok(front.reach(shard, credentials).await?.send(request).await);
    }
    let path = request.uri().path().to_owned();
    if path == "/foreshadow.v1.Allocations/AllocateStream" {
        return Ok(exchange::exchange(front, credentials, request).await);
    }
    let call = Call::read(request, front.shared.max_body_bytes).await?;
    let asked = Asked {
        front,
        credentials,
        call,
    };
    let parts: Vec<&str> = path.split('/').skip(1).take(MOST_PARTS + 1).collect();
    match parts.as_slice() {
        ["foreshadow.v1.Allocations", name] => asked.allocations(name).await,
        ["foreshadow.v1.Admin", name] => asked.admin(name).await,
        ["foreshadow.v1.Shadows", _] => {
            let who: v1::GetResourceShadowRequest = asked.call.glance();
            let name = match who.entity {
                Some(
                    v1::get_resource_shadow_request::Entity::UserId(name)
                    | v1::get_resource_shadow_request::Entity::ApplicationId(name),
                ) => name,
                None => String::new(),
            };
            join::shadow(&asked, &name).await
        }
        ["foreshadow.v1.Forecasts", _] => asked.forecast().await,
        ["externalscaler.ExternalScaler", _] => {
            let shard = asked.front.of_pool(&scaled_pool(&asked.call));
            asked.to(shard).await
        }
        parts => asked.page(parts).await,
    }
}

/// A call, who makes it, and where it may go.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) front: Front,
    pub(super) credentials: Credentials,
    pub(super) call: Call,
}

impl Asked {
    /// Sends the call to a shard.
    pub(super) async fn to(&self, shard: ShardId) -> Result<Response, ApiError> {
        self.send(shard, self.call.clone()).await
    }

    /// Sends another call to a shard.
    pub(super) async fn send(&self, shard: ShardId, call: Call) -> Result<Response, ApiError> {
        let reach = self.front.reach(shard, self.credentials.clone()).await?;
        Ok(reach.send(call.request()).await)
    }

    async fn allocations(&self, name: &str) -> Result<Response, ApiError> {
        let shard = match name {
            "Allocate" => {
                let wanted: v1::AllocateRequest = self.call.glance();
                return allocations::allocate(self, wanted).await;
            }
            "List" => return allocations::list(self, self.call.message()?).await,
            "CheckToken" => {
                let held: v1::CheckTokenRequest = self.call.glance();
                self.front.of_id::<InstanceId>(&held.instance_id)
            }
            // All others have the allocation in their first field.
            _ => {
                let named: v1::CancelRequest = self.call.glance();
                self.front.of_id::<AllocationId>(&named.allocation_id)
            }
        };
        self.to(shard).await
    }

    async fn admin(&self, name: &str) -> Result<Response, ApiError> {
        match name {
            "SetShadowConfig" => admin::set_config(self).await,
            "MakeLive" => admin::make_live(self).await,
            "Explain" | "DrainPool" => {
                // Both have the pool in their first field.
                let named: v1::DrainPoolRequest = self.call.glance();
                self.to(self.front.of_pool(&named.pool)).await
            }
            "DrainInstance" => {
                let named: v1::DrainInstanceRequest = self.call.glance();
                self.to(self.front.of_id::<InstanceId>(&named.instance_id))
                    .await
            }
            "SetOverride" => admin::set_override(self).await,
            "SetTenantQuota" => admin::set_quota(self).await,
            "ListOverrides" => join::every::<v1::ListOverridesResponse>(self).await,
            "ListPools" => join::every::<v1::ListPoolsResponse>(self).await,
            "ListTenantQuotas" => join::every::<v1::ListTenantQuotasResponse>(self).await,
            "DeleteUser" => join::any::<v1::DeleteUserResponse>(self).await,
            "GetAdaptation" => join::every::<v1::Adaptation>(self).await,
            "ListModels" => join::every::<v1::ListModelsResponse>(self).await,
            "UseModel" => join::any::<v1::ListModelsResponse>(self).await,
            "Retrain" => join::any::<v1::RetrainResponse>(self).await,
            "ListAuditEvents" => admin::audit(self, self.call.message()?).await,
            "GetOverview" => join::every::<v1::Overview>(self).await,
            // The configuration, which is the same in all.
            _ => self.to(ShardId(0)).await,
        }
    }

    /// HTTP: the same calls by their paths.
    async fn page(&self, parts: &[&str]) -> Result<Response, ApiError> {
        let reads = self.call.parts.method == Method::GET;
        match parts {
            ["user", user, "resource_shadow"] => join::shadow(self, &decoded(user)).await,
            ["user", _] => join::any::<v1::DeleteUserResponse>(self).await,
            ["fencing", id] => self.to(self.front.of_id::<InstanceId>(id)).await,
            ["api", "v1", "allocations"] if reads => {
                allocations::list(self, allocations::asked(&self.call.parts.uri)?).await
            }
            ["api", "v1", "allocations"] => allocations::allocate(self, self.call.message()?).await,
            ["api", "v1", "allocations", id, _] => {
                self.to(self.front.of_id::<AllocationId>(id)).await
            }
            ["api", "v1", "pools"] => join::every::<v1::ListPoolsResponse>(self).await,
            ["api", "v1", "adaptation"] => join::every::<v1::Adaptation>(self).await,
            ["api", "v1", "overview"] => join::every::<v1::Overview>(self).await,
            ["integrations", "agones", pool] | ["admin", "pools", pool, "drain"] => {
                self.to(self.front.of_pool(&decoded(pool))).await
            }
            ["admin", "pools", _, "live"] => admin::make_live(self).await,
            ["admin", "instances", id, "drain"] => {
                self.to(self.front.of_id::<InstanceId>(id)).await
            }
            ["admin", "explain"] => {
                let pool = queried(&self.call.parts.uri, "pool");
                self.to(self.front.of_pool(&pool)).await
            }
            ["admin", "shadow_config"] if !reads => admin::set_config(self).await,
            ["admin", "shadow_override"] if reads => {
                join::every::<v1::ListOverridesResponse>(self).await
            }
            ["admin", "shadow_override"] => admin::set_override(self).await,
            ["admin", "tenant_quota"] if reads => {
                join::every::<v1::ListTenantQuotasResponse>(self).await
            }
            ["admin", "tenant_quota"] => admin::set_quota(self).await,
            ["admin", "models"] if reads => join::every::<v1::ListModelsResponse>(self).await,
            ["admin", "models"] => join::any::<v1::ListModelsResponse>(self).await,
            ["admin", "retrain"] => join::any::<v1::RetrainResponse>(self).await,
            ["admin", "audit"] => {
                admin::audit(self, admin::asked_changes(&self.call.parts.uri)?).await
            }
            _ => self.to(ShardId(0)).await,
        }
    }

    /// A pool's forecast is in its shard, an entity's where its usage is kept; of a user without usage,
    /// where requests were made.
    async fn forecast(&self) -> Result<Response, ApiError> {
        let wanted: v1::PredictRequest = self.call.glance();
        match wanted.subject {
            Some(v1::predict_request::Subject::Pool(pool)) => {
                self.to(self.front.of_pool(&pool)).await
            }
            Some(v1::predict_request::Subject::EntityId(entity)) => {
                join::first_known::<v1::Forecast>(self, self.front.of_entity(&entity)).await
            }
            None => self.to(ShardId(0)).await,
        }
    }
}

/// Of `ScaledObjectRef`, or of the message that has one as its first field, only what says the pool.
fn scaled_pool(call: &Call) -> String {
    #[derive(Clone, PartialEq, Message)]
    struct Metrics {
        #[prost(message, optional, tag = "1")]
        object: Option<foreshadow_api::externalscaler::ScaledObjectRef>,
    }
    let object = if call.parts.uri.path().ends_with("/GetMetrics") {
        call.glance::<Metrics>().object.unwrap_or_default()
    } else {
        call.glance()
    };
    object
        .scaler_metadata
        .get("pool")
        .cloned()
        .unwrap_or_default()
}

/// A part of a path as it was meant.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part)
        .decode_utf8_lossy()
        .into_owned()
}

/// One value of a query.
pub(super) fn queried(uri: &Uri, key: &str) -> String {
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    let pairs = query.map(|pairs| pairs.0).unwrap_or_default();
    let found = pairs.into_iter().find(|(name, _)| name == key);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// A request without a body to another path of the same shard.
pub(super) fn get(call: &Call, path: &str) -> Result<axum::http::Request<Body>, ApiError> {
    let mut request = axum::http::Request::new(Body::empty());
    *request.headers_mut() = call.parts.headers.clone();
    let uri = path.parse::<Uri>();
    *request.uri_mut() = uri.map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(request)
}
