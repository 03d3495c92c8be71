//! `foreshadow.v1.Shadows`.

use foreshadow_api::{
    FieldError, required_name, timestamp_from_proto,
    v1::{self, get_resource_shadow_request::Entity, shadows_server::Shadows},
};
use foreshadow_engine::EngineHandle;
use foreshadow_types::{Timestamp, UserId};
use tonic::{Request, Response, Status};

use crate::{access::Caller, convert::shadow_view_to_proto, error::ApiError};

#[derive(Debug, Clone)]
pub(crate) struct ShadowsService {
    pub(crate) engine: EngineHandle,
}

/// The shadow of an entity, now or at a past time. Users and applications share one space of names.
pub(crate) async fn shadow_of(
    engine: &EngineHandle,
    caller: &Caller,
    field: &str,
    name: &str,
    at: Option<Timestamp>,
) -> Result<v1::ResourceShadow, ApiError> {
    let entity = required_name(field, name, UserId::new)?;
    caller.check_shadow(entity.as_str())?;
    let view = match at {
        Some(at) => engine.resource_shadow_at(&entity, at).await?,
        None => engine.resource_shadow(&entity).await?,
    };
    Ok(shadow_view_to_proto(view, engine.durability()))
}

#[tonic::async_trait]
impl Shadows for ShadowsService {
    async fn get_resource_shadow(
        &self,
        request: Request<v1::GetResourceShadowRequest>,
    ) -> Result<Response<v1::ResourceShadow>, Status> {
        let caller = Caller::of(request.extensions())?;
        let request = request.into_inner();
        let at = timestamp_from_proto("at", request.at).map_err(ApiError::from)?;
        let of = |field, name| shadow_of(&self.engine, &caller, field, name, at);
        let shadow = match &request.entity {
            Some(Entity::UserId(user)) => of("user_id", user).await,
            Some(Entity::ApplicationId(application)) => of("application_id", application).await,
            None => {
                let problem = "is missing; say whose shadow, user_id or application_id";
                Err(FieldError::new("user_id", problem).into())
            }
        };
        Ok(Response::new(shadow?))
    }
}
