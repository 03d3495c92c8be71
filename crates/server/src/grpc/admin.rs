//! `foreshadow.v1.Admin`.

use foreshadow_api::{
    FieldError, quota_from_proto, quota_to_proto, required_name, timestamp_from_proto,
    v1::{self, admin_server::Admin, set_override_request::Change},
};
use foreshadow_engine::{EngineError, EngineHandle};
use foreshadow_types::{InstanceId, PoolName, UserId};
use tonic::{Request, Response, Status};

use super::{
    audit::{audit_events, audited},
    called,
    pools::{pool, pool_history, pools},
};
use crate::{
    access::Caller,
    clock::now,
    convert::{
        adaptation_to_proto, config_from_proto, config_to_proto, explanation_to_proto,
        models_to_proto, outcome_to_proto, override_change_from_proto, overrides_to_proto,
        overview,
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
    caller: &Caller,
    request: v1::SetShadowConfigRequest,
) -> Result<v1::SetShadowConfigResponse, ApiError> {
    if request.dry_run {
        return configured(engine.clone(), request).await;
    }
    audited(engine, caller, "SetShadowConfig", request, configured).await
}

async fn configured(
    engine: EngineHandle,
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
    let outcome = engine.set_shadow_config(config, etag, request.dry_run);
    Ok(outcome_to_proto(outcome.await?))
}

/// Lets a pool's plans be carried out: for gRPC and HTTP alike.
pub(crate) async fn make_live(
    engine: &EngineHandle,
    caller: &Caller,
    request: v1::MakeLiveRequest,
) -> Result<v1::SetShadowConfigResponse, ApiError> {
    audited(
        engine,
        caller,
        "MakeLive",
        request,
        |engine: EngineHandle, request: v1::MakeLiveRequest| async move {
            let pool = required_name("pool", &request.pool, PoolName::new)?;
            Ok(outcome_to_proto(engine.make_live(pool).await?))
        },
    )
    .await
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
    caller: &Caller,
    mut request: v1::SetOverrideRequest,
) -> Result<v1::SetOverrideResponse, ApiError> {
    if let Some(Change::Set(set)) = &mut request.change
        && set.set_by.is_empty()
    {
        caller.name().clone_into(&mut set.set_by);
    }
    audited(engine, caller, "SetOverride", request, overridden).await
}

async fn overridden(
    engine: EngineHandle,
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
    caller: &Caller,
    request: v1::TenantQuota,
) -> Result<v1::TenantQuota, ApiError> {
    audited(
        engine,
        caller,
        "SetTenantQuota",
        request,
        |engine: EngineHandle, request: v1::TenantQuota| async move {
            let (tenant, quota) = quota_from_proto(&request)?;
            let answer = quota_to_proto(&tenant, &quota);
            engine.set_quota(tenant, quota).await?;
            Ok(answer)
        },
    )
    .await
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

/// The overrides in force: for gRPC and HTTP alike.
pub(crate) async fn overrides(
    engine: &EngineHandle,
) -> Result<v1::ListOverridesResponse, ApiError> {
    let view = engine.overrides().await?;
    Ok(v1::ListOverridesResponse {
        overrides: overrides_to_proto(&view.overrides),
        etag: view.etag,
    })
}

/// Deletes a user: for gRPC and HTTP alike. Whom is not written down, since that is to be forgotten.
pub(crate) async fn delete_user(
    engine: &EngineHandle,
    caller: &Caller,
    field: &str,
    user: &str,
) -> Result<v1::DeleteUserResponse, ApiError> {
    let user = required_name(field, user, UserId::new)?;
    let struck = v1::DeleteUserRequest {
        user_id: "deleted".to_owned(),
    };
    // What says that nobody of the name is known holds the name: it is the caller's to read.
    let found = audited(
        engine,
        caller,
        "DeleteUser",
        struck,
        |engine, _| async move {
            match engine.forget_user(&user).await {
                Err(error @ EngineError::UnknownEntity(_)) => Ok(Err(error)),
                forgotten => Ok(Ok(forgotten?)),
            }
        },
    );
    let forgotten = found.await??;
    Ok(v1::DeleteUserResponse {
        shadow: forgotten.shadow,
        history_rows: forgotten.history_rows,
        allocations: forgotten.allocations,
        overrides: forgotten.overrides,
    })
}

/// The models there are: for gRPC and HTTP alike.
pub(crate) async fn models(engine: &EngineHandle) -> Result<v1::ListModelsResponse, ApiError> {
    let listed = engine.models().await?;
    Ok(models_to_proto(listed, engine.latest_training()))
}

/// Takes a model up: for gRPC and HTTP alike.
pub(crate) async fn use_model(
    engine: &EngineHandle,
    caller: &Caller,
    request: v1::UseModelRequest,
) -> Result<v1::ListModelsResponse, ApiError> {
    audited(
        engine,
        caller,
        "UseModel",
        request,
        |engine: EngineHandle, request: v1::UseModelRequest| async move {
            let name = (!request.name.is_empty()).then_some(request.name);
            engine.use_model(name).await?;
            models(&engine).await
        },
    )
    .await
}

/// Asks for a training: for gRPC and HTTP alike.
pub(crate) async fn retrain(
    engine: &EngineHandle,
    caller: &Caller,
    request: v1::RetrainRequest,
) -> Result<v1::RetrainResponse, ApiError> {
    audited(
        engine,
        caller,
        "Retrain",
        request,
        |engine: EngineHandle, _| async move {
            engine.retrain().await?;
            Ok(v1::RetrainResponse {})
        },
    )
    .await
}

/// Takes an instance out: for gRPC and HTTP alike.
pub(crate) async fn drain_instance(
    engine: &EngineHandle,
    caller: &Caller,
    request: v1::DrainInstanceRequest,
) -> Result<v1::DrainInstanceResponse, ApiError> {
    audited(
        engine,
        caller,
        "DrainInstance",
        request,
        |engine: EngineHandle, request: v1::DrainInstanceRequest| async move {
            let instance: Result<InstanceId, _> = request.instance_id.parse();
            let instance = instance.map_err(|error| FieldError::new("instance_id", error))?;
            engine.drain(instance).await?;
            Ok(v1::DrainInstanceResponse {})
        },
    )
    .await
}

/// Takes all instances of a pool out: for gRPC and HTTP alike.
pub(crate) async fn drain_pool(
    engine: &EngineHandle,
    caller: &Caller,
    request: v1::DrainPoolRequest,
) -> Result<v1::DrainPoolResponse, ApiError> {
    audited(
        engine,
        caller,
        "DrainPool",
        request,
        |engine: EngineHandle, request: v1::DrainPoolRequest| async move {
            let pool = required_name("pool", &request.pool, PoolName::new)?;
            engine.drain_pool(pool).await?;
            Ok(v1::DrainPoolResponse {})
        },
    )
    .await
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
        let (caller, request) = called(request)?;
        let answer = set_shadow_config(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn make_live(
        &self,
        request: Request<v1::MakeLiveRequest>,
    ) -> Result<Response<v1::SetShadowConfigResponse>, Status> {
        let (caller, request) = called(request)?;
        let answer = make_live(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
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
        let (caller, request) = called(request)?;
        let answer = set_override(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn list_overrides(
        &self,
        _: Request<v1::ListOverridesRequest>,
    ) -> Result<Response<v1::ListOverridesResponse>, Status> {
        Ok(overrides(&self.engine).await.map(Response::new)?)
    }

    async fn list_pools(
        &self,
        request: Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let page = pools(&self.engine, request.into_inner()).await;
        Ok(page.map(Response::new)?)
    }

    async fn get_pool(
        &self,
        request: Request<v1::GetPoolRequest>,
    ) -> Result<Response<v1::PoolStatus>, Status> {
        let found = pool(&self.engine, request.into_inner()).await;
        Ok(found.map(Response::new)?)
    }

    async fn get_pool_history(
        &self,
        request: Request<v1::GetPoolHistoryRequest>,
    ) -> Result<Response<v1::PoolHistory>, Status> {
        let found = pool_history(&self.engine, request.into_inner()).await;
        Ok(found.map(Response::new)?)
    }

    async fn drain_instance(
        &self,
        request: Request<v1::DrainInstanceRequest>,
    ) -> Result<Response<v1::DrainInstanceResponse>, Status> {
        let (caller, request) = called(request)?;
        let answer = drain_instance(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn drain_pool(
        &self,
        request: Request<v1::DrainPoolRequest>,
    ) -> Result<Response<v1::DrainPoolResponse>, Status> {
        let (caller, request) = called(request)?;
        let answer = drain_pool(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn set_tenant_quota(
        &self,
        request: Request<v1::TenantQuota>,
    ) -> Result<Response<v1::TenantQuota>, Status> {
        let (caller, request) = called(request)?;
        let answer = set_tenant_quota(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
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
        let (caller, request) = called(request)?;
        let answer = delete_user(&self.engine, &caller, "user_id", &request.user_id).await;
        Ok(answer.map(Response::new)?)
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
        Ok(models(&self.engine).await.map(Response::new)?)
    }

    async fn use_model(
        &self,
        request: Request<v1::UseModelRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let (caller, request) = called(request)?;
        let answer = use_model(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn retrain(
        &self,
        request: Request<v1::RetrainRequest>,
    ) -> Result<Response<v1::RetrainResponse>, Status> {
        let (caller, request) = called(request)?;
        let answer = retrain(&self.engine, &caller, request).await;
        Ok(answer.map(Response::new)?)
    }

    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let events = audit_events(&self.engine, request.into_inner()).await;
        Ok(events.map(Response::new)?)
    }

    async fn get_overview(
        &self,
        request: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::Overview>, Status> {
        let found = overview(&self.engine, request.into_inner(), now()).await;
        Ok(found.map(Response::new)?)
    }
}
