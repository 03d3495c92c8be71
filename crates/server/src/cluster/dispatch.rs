//! Which shard a call is about. What is not listed goes to the first shard, which refuses what nobody
//! knows.

use axum::{
    body::Bytes,
    extract::Request,
    http::{HeaderValue, Method, Uri},
    response::Response,
};
use foreshadow_api::v1;
use foreshadow_types::{AllocationId, InstanceId, ShardId};
use prost::Message;
use tokio::time::{Instant, sleep};

use super::{
    AGAIN, Credentials, Front, MOVING, admin, allocations, exchange, join, moving, overrides,
    patience,
    reach::Lost,
    wire::{Call, refusal},
};
use crate::{access::is_grpc, error::ApiError, http::asked_pools, path::Parts};

/// Answers a call, wherever its shard is.
pub(super) async fn dispatch(front: Front, request: Request) -> Response {
    let grpc = is_grpc(request.headers());
    match answered(front, request, grpc).await {
        Ok(response) => response,
        Err(error) => refusal(grpc, error),
    }
}

async fn answered(front: Front, request: Request, grpc: bool) -> Result<Response, ApiError> {
    let credentials = Credentials::of(&request)?;
    // What another replica has sent on is for the shard that it says.
    if let Some(shard) = credentials.forwarded {
        return Ok(sent_here(&front, shard, &credentials, request, grpc).await);
    }
    if request.uri().path() == "/foreshadow.v1.Allocations/AllocateStream" {
        return Ok(exchange::exchange(front, credentials, request).await);
    }
    let shared = front.shared.clone();
    let _turn = shared.turns.take()?;
    let most = if grpc {
        shared.max_message_bytes
    } else {
        shared.max_http_body_bytes
    };
    let call = Call::read(request, most).await?;
    let uri = call.parts.uri.clone();
    let asked = Asked {
        front,
        credentials,
        call,
    };
    match Parts::of(uri.path()).as_deref() {
        Some(["foreshadow.v1.Allocations", name]) => asked.allocations(name).await,
        Some(["foreshadow.v1.Admin", name]) => asked.admin(name).await,
        Some(["foreshadow.v1.Shadows", _]) => {
            let who: v1::GetResourceShadowRequest = asked.call.glance();
            let name = match who.entity {
                Some(
                    v1::get_resource_shadow_request::Entity::UserId(name)
                    | v1::get_resource_shadow_request::Entity::ApplicationId(name),
                ) => name,
                None => String::new(),
            };
            Ok(join::shadow(&asked, &name).await)
        }
        Some(["foreshadow.v1.Forecasts", _]) => Ok(asked.forecast().await),
        Some(["externalscaler.ExternalScaler", _]) => {
            let shard = asked.front.of_pool(&scaled_pool(&asked.call));
            Ok(asked.go(shard).await)
        }
        Some(parts) => asked.page(parts).await,
        None => Ok(asked.go(ShardId(0)).await),
    }
}

/// A call that another replica has sent on; if the shard is not here, it is told so soon, since it tries
/// again.
async fn sent_here(
    front: &Front,
    shard: ShardId,
    credentials: &Credentials,
    request: Request,
    grpc: bool,
) -> Response {
    let reach = front
        .reach(shard, credentials, Instant::now() + AGAIN)
        .await;
    let answer = match reach {
        Ok(reach) => reach.send(request).await.map_err(|_| moving(shard)),
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| {
        let mut response = refusal(grpc, error);
        let marked = HeaderValue::from_static("1");
        response.headers_mut().insert(MOVING, marked);
        response
    })
}

/// A call, who makes it, and where it may go.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) front: Front,
    pub(super) credentials: Credentials,
    pub(super) call: Call,
}

impl Asked {
    /// Sends the call to the one shard that it is for.
    pub(super) async fn go(self, shard: ShardId) -> Response {
        sent(&self.front, &self.credentials, shard, self.call).await
    }

    /// Sends the call to a shard.
    pub(super) async fn to(&self, shard: ShardId) -> Response {
        self.send(shard, self.call.clone()).await
    }

    /// Sends another call to a shard.
    pub(super) async fn send(&self, shard: ShardId, call: Call) -> Response {
        sent(&self.front, &self.credentials, shard, call).await
    }

    async fn allocations(self, name: &str) -> Result<Response, ApiError> {
        let shard = match name {
            "Allocate" => {
                let wanted: v1::AllocateRequest = self.call.glance();
                return Ok(allocations::allocate(self, wanted).await);
            }
            "List" => {
                let wanted = self.call.message()?;
                return Ok(allocations::list(self, wanted).await);
            }
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
        Ok(self.go(shard).await)
    }

    async fn admin(self, name: &str) -> Result<Response, ApiError> {
        Ok(match name {
            "SetShadowConfig" => admin::set_config(&self).await?,
            "MakeLive" => admin::make_live(&self).await,
            "Explain" | "DrainPool" | "GetPool" | "GetPoolHistory" => {
                // All have the pool in their first field.
                let named: v1::DrainPoolRequest = self.call.glance();
                let shard = self.front.of_pool(&named.pool);
                self.go(shard).await
            }
            "DrainInstance" => {
                let named: v1::DrainInstanceRequest = self.call.glance();
                let shard = self.front.of_id::<InstanceId>(&named.instance_id);
                self.go(shard).await
            }
            "SetOverride" => overrides::set(&self).await?,
            "SetTenantQuota" => admin::set_quota(&self).await?,
            "ListOverrides" => join::every::<v1::ListOverridesResponse>(&self).await,
            "ListPools" => join::pools(&self, &self.call.message()?).await,
            "ListTenantQuotas" => join::every::<v1::ListTenantQuotasResponse>(&self).await,
            "DeleteUser" => join::any::<v1::DeleteUserResponse>(&self).await,
            "GetAdaptation" => join::every::<v1::Adaptation>(&self).await,
            "ListModels" => join::every::<v1::ListModelsResponse>(&self).await,
            "UseModel" => join::any::<v1::ListModelsResponse>(&self).await,
            "Retrain" => join::any::<v1::RetrainResponse>(&self).await,
            "ListAuditEvents" => admin::audit(&self, self.call.message()?).await?,
            "GetOverview" => join::every::<v1::Overview>(&self).await,
            // The configuration, which is the same in all.
            _ => self.go(ShardId(0)).await,
        })
    }

    /// HTTP: the same calls by their paths.
    async fn page(self, parts: &[&str]) -> Result<Response, ApiError> {
        let reads = self.call.parts.method == Method::GET;
        Ok(match parts {
            ["user", user, "resource_shadow"] => join::shadow(&self, &decoded(user)).await,
            ["user", _] => join::any::<v1::DeleteUserResponse>(&self).await,
            ["fencing", id] | ["admin", "instances", id, "drain"] => {
                let shard = self.front.of_id::<InstanceId>(id);
                self.go(shard).await
            }
            ["api", "v1", "allocations"] if reads => {
                let wanted = allocations::asked(&self.call.parts.uri)?;
                allocations::list(self, wanted).await
            }
            ["api", "v1", "allocations"] => {
                let wanted = self.call.message()?;
                allocations::allocate(self, wanted).await
            }
            ["api", "v1", "allocations", id, _] => {
                let shard = self.front.of_id::<AllocationId>(id);
                self.go(shard).await
            }
            ["api", "v1", "pools"] => {
                let wanted = asked_pools(&self.call.parts.uri)?;
                join::pools(&self, &wanted).await
            }
            ["api", "v1", "adaptation"] => join::every::<v1::Adaptation>(&self).await,
            ["api", "v1", "overview"] => join::every::<v1::Overview>(&self).await,
            ["integrations", "agones", pool]
            | ["admin", "pools", pool, "drain"]
            | ["api", "v1", "pools", pool]
            | ["api", "v1", "pools", pool, "history"] => {
                let shard = self.front.of_pool(&decoded(pool));
                self.go(shard).await
            }
            ["admin", "explain"] => {
                let pool = queried(&self.call.parts.uri, "pool");
                let shard = self.front.of_pool(&pool);
                self.go(shard).await
            }
            ["admin", "pools", _, "live"] => admin::make_live(&self).await,
            ["admin", "shadow_config"] if !reads => admin::set_config(&self).await?,
            ["admin", "shadow_override"] if reads => {
                join::every::<v1::ListOverridesResponse>(&self).await
            }
            ["admin", "shadow_override"] => overrides::set(&self).await?,
            ["admin", "tenant_quota"] if reads => {
                join::every::<v1::ListTenantQuotasResponse>(&self).await
            }
            ["admin", "tenant_quota"] => admin::set_quota(&self).await?,
            ["admin", "models"] if reads => join::every::<v1::ListModelsResponse>(&self).await,
            ["admin", "models"] => join::any::<v1::ListModelsResponse>(&self).await,
            ["admin", "retrain"] => join::any::<v1::RetrainResponse>(&self).await,
            ["admin", "audit"] => {
                let wanted = admin::asked_changes(&self.call.parts.uri)?;
                admin::audit(&self, wanted).await?
            }
            _ => self.go(ShardId(0)).await,
        })
    }

    /// A pool's forecast is in its shard, an entity's where its usage is kept; of a user without usage,
    /// where requests were made.
    async fn forecast(self) -> Response {
        let wanted: v1::PredictRequest = self.call.glance();
        match wanted.subject {
            Some(v1::predict_request::Subject::Pool(pool)) => {
                let shard = self.front.of_pool(&pool);
                self.go(shard).await
            }
            Some(v1::predict_request::Subject::EntityId(entity)) => {
                let first = self.front.of_entity(&entity);
                join::first_known::<v1::Forecast>(&self, first).await
            }
            None => self.go(ShardId(0)).await,
        }
    }
}

/// Sends a call to a shard. While the shard moves, nothing is done and it is tried again.
async fn sent(front: &Front, credentials: &Credentials, shard: ShardId, call: Call) -> Response {
    let (grpc, until) = (call.is_grpc(), patience());
    let mut next = Some(call);
    while let Some(call) = next.take() {
        let reach = match front.reach(shard, credentials, until).await {
            Ok(reach) => reach,
            Err(error) => return refusal(grpc, error),
        };
        let again = reach.engine().is_none().then(|| call.clone());
        match reach.send(call.request()).await {
            Ok(response) => return response,
            Err(Lost::Broken(status)) => return refusal(grpc, status.into()),
            Err(Lost::Moved) if Instant::now() + AGAIN < until => {
                sleep(AGAIN).await;
                next = again;
            }
            Err(Lost::Moved) => {}
        }
    }
    refusal(grpc, moving(shard))
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

/// The same call to another path, without a body.
pub(super) fn get(call: &Call, path: &str) -> Result<Call, ApiError> {
    let mut request = axum::http::Request::new(());
    *request.headers_mut() = call.parts.headers.clone();
    let uri = path.parse::<Uri>();
    *request.uri_mut() = uri.map_err(|error| ApiError::invalid(error.to_string()))?;
    let (parts, ()) = request.into_parts();
    Ok(Call {
        parts,
        body: Bytes::new(),
    })
}
