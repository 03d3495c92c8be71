//! `foreshadow.v1.Admin`.

use foreshadow_api::{
    FieldError, quota_from_proto, quota_to_proto, required_name, timestamp_from_proto,
    v1::{self, admin_server::Admin},
};
use foreshadow_engine::EngineHandle;
use foreshadow_types::{InstanceId, PoolName, UserId};
use tonic::{Request, Response, Status};

use crate::{
    clock::now,
    convert::{
        adaptation_to_proto, config_from_proto, config_to_proto, explanation_to_proto,
        models_to_proto, outcome_to_proto, override_change_from_proto, overrides_to_proto,
        overview, pool_statuses,
    },
    error::ApiError,
};

#[derive(Debug, Clone)]
pub(crate) struct AdminService {
    pub(crate) engine: EngineHandle,
}

/// Sets the shadow configuration, or with `dry_run` checks it: for gRPC and HTTP alike.
pub(crate) async fn set_shadow_config(
    engine: &EngineHandle,
    request: v1::SetShadowConfigRequest,
) -> Result<v1::SetShadowConfigResponse, ApiError> {
    let Some(wire) = request.config else {
        let problem = "is missing; give the whole configuration";
        return Err(FieldError::new("config", problem).into());
    };
    let etag = [request.etag, wire.etag.clone()]
        .into_iter()
        .find(|etag| !etag.is_empty());
    let config = config_from_proto(wire).map_err(|error| error.inside("config"))?;
    let outcome = engine
        .set_shadow_config(config, etag, request.dry_run)
        .await?;
    Ok(outcome_to_proto(outcome))
}

/// Lets a pool's plans be carried out: for gRPC and HTTP alike.
pub(crate) async fn make_live(
    engine: &EngineHandle,
    pool: &str,
) -> Result<v1::SetShadowConfigResponse, ApiError> {
    let pool = required_name("pool", pool, PoolName::new)?;
    Ok(outcome_to_proto(engine.make_live(pool).await?))
}

/// Why a pool had the size it had: for gRPC and HTTP alike.
pub(crate) async fn explain(
    engine: &EngineHandle,
    request: v1::ExplainRequest,
) -> Result<v1::Explanation, ApiError> {
    let pool = required_name("pool", &request.pool, PoolName::new)?;
    let at = timestamp_from_proto("at", request.at)?.unwrap_or_else(now);
    Ok(explanation_to_proto(engine.explain(pool, at).await?))
}

/// Changes the overrides: for gRPC and HTTP alike.
pub(crate) async fn set_override(
    engine: &EngineHandle,
    request: v1::SetOverrideRequest,
) -> Result<v1::SetOverrideResponse, ApiError> {
    let etag = (!request.etag.is_empty()).then(|| request.etag.clone());
    let change = override_change_from_proto(request)?;
    let view = engine.set_override(change, etag).await?;
    Ok(v1::SetOverrideResponse {
        overrides: overrides_to_proto(&view.overrides),
        etag: view.etag,
    })
}

/// Sets what a tenant may take: for gRPC and HTTP alike.
pub(crate) async fn set_tenant_quota(
    engine: &EngineHandle,
    request: &v1::TenantQuota,
) -> Result<v1::TenantQuota, ApiError> {
    let (tenant, quota) = quota_from_proto(request)?;
    let answer = quota_to_proto(&tenant, &quota);
    engine.set_quota(tenant, quota).await?;
    Ok(answer)
}

/// The tenants with a quota of their own: for gRPC and HTTP alike.
pub(crate) async fn tenant_quotas(
    engine: &EngineHandle,
) -> Result<v1::ListTenantQuotasResponse, ApiError> {
    let quotas = engine.quotas().await?;
    let quotas = quotas
        .iter()
        .map(|(tenant, quota)| quota_to_proto(tenant, quota));
    Ok(v1::ListTenantQuotasResponse {
        quotas: quotas.collect(),
    })
}

/// Deletes a user: for gRPC and HTTP alike.
pub(crate) async fn delete_user(
    engine: &EngineHandle,
    field: &str,
    user: &str,
) -> Result<v1::DeleteUserResponse, ApiError> {
    let user = required_name(field, user, UserId::new)?;
    let forgotten = engine.forget_user(&user).await?;
    Ok(v1::DeleteUserResponse {
        shadow: forgotten.shadow,
        history_rows: forgotten.history_rows,
        allocations: forgotten.allocations,
        overrides: forgotten.overrides,
    })
}

/// Takes a model up: for gRPC and HTTP alike.
pub(crate) async fn use_model(
    engine: &EngineHandle,
    request: v1::UseModelRequest,
) -> Result<v1::ListModelsResponse, ApiError> {
    let name = (!request.name.is_empty()).then_some(request.name);
    engine.use_model(name).await?;
    Ok(models_to_proto(engine.models().await?))
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn get_shadow_config(
        &self,
        _: Request<v1::GetShadowConfigRequest>,
    ) -> Result<Response<v1::ShadowConfig>, Status> {
        let config = self.engine.shadow_config().await.map_err(ApiError::from)?;
        Ok(Response::new(config_to_proto(&config)))
    }

    async fn set_shadow_config(
        &self,
        request: Request<v1::SetShadowConfigRequest>,
    ) -> Result<Response<v1::SetShadowConfigResponse>, Status> {
        Ok(Response::new(
            set_shadow_config(&self.engine, request.into_inner()).await?,
        ))
    }

    async fn make_live(
        &self,
        request: Request<v1::MakeLiveRequest>,
    ) -> Result<Response<v1::SetShadowConfigResponse>, Status> {
        Ok(Response::new(
            make_live(&self.engine, &request.into_inner().pool).await?,
        ))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::Explanation>, Status> {
        Ok(Response::new(
            explain(&self.engine, request.into_inner()).await?,
        ))
    }

    async fn set_override(
        &self,
        request: Request<v1::SetOverrideRequest>,
    ) -> Result<Response<v1::SetOverrideResponse>, Status> {
        Ok(Response::new(
            set_override(&self.engine, request.into_inner()).await?,
        ))
    }

    async fn list_overrides(
        &self,
        _: Request<v1::ListOverridesRequest>,
    ) -> Result<Response<v1::ListOverridesResponse>, Status> {
        let view = self.engine.overrides().await.map_err(ApiError::from)?;
        Ok(Response::new(v1::ListOverridesResponse {
            overrides: overrides_to_proto(&view.overrides),
            etag: view.etag,
        }))
    }

    async fn list_pools(
        &self,
        _: Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let pools = pool_statuses(&self.engine).await?;
        Ok(Response::new(v1::ListPoolsResponse { pools }))
    }

    async fn drain_instance(
        &self,
        request: Request<v1::DrainInstanceRequest>,
    ) -> Result<Response<v1::DrainInstanceResponse>, Status> {
        let text = request.into_inner().instance_id;
        let instance: InstanceId = text
            .parse()
            .map_err(|error| ApiError::from(FieldError::new("instance_id", error)))?;
        self.engine.drain(instance).await.map_err(ApiError::from)?;
        Ok(Response::new(v1::DrainInstanceResponse {}))
    }

    async fn drain_pool(
        &self,
        request: Request<v1::DrainPoolRequest>,
    ) -> Result<Response<v1::DrainPoolResponse>, Status> {
        let pool = required_name("pool", &request.into_inner().pool, PoolName::new);
        let pool = pool.map_err(ApiError::from)?;
        let drained = self.engine.drain_pool(pool).await;
        drained.map_err(ApiError::from)?;
        Ok(Response::new(v1::DrainPoolResponse {}))
    }

    async fn set_tenant_quota(
        &self,
        request: Request<v1::TenantQuota>,
    ) -> Result<Response<v1::TenantQuota>, Status> {
        Ok(Response::new(
            set_tenant_quota(&self.engine, &request.into_inner()).await?,
        ))
    }

    async fn list_tenant_quotas(
        &self,
        _: Request<v1::ListTenantQuotasRequest>,
    ) -> Result<Response<v1::ListTenantQuotasResponse>, Status> {
        Ok(Response::new(tenant_quotas(&self.engine).await?))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let user = request.into_inner().user_id;
        let deleted = delete_user(&self.engine, "user_id", &user).await?;
        Ok(Response::new(deleted))
    }

    async fn get_adaptation(
        &self,
        _: Request<v1::GetAdaptationRequest>,
    ) -> Result<Response<v1::Adaptation>, Status> {
        Ok(Response::new(adaptation_to_proto(self.engine.adaptation())))
    }

    async fn list_models(
        &self,
        _: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let models = self.engine.models().await.map_err(ApiError::from)?;
        Ok(Response::new(models_to_proto(models)))
    }

    async fn use_model(
        &self,
        request: Request<v1::UseModelRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        Ok(Response::new(
            use_model(&self.engine, request.into_inner()).await?,
        ))
    }

    async fn get_overview(
        &self,
        _: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::Overview>, Status> {
        Ok(Response::new(overview(&self.engine, now()).await?))
    }
}
