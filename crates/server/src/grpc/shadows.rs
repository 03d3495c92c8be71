//! `foreshadow.v1.Shadows`.

use foreshadow_api::{
    FieldError, required_name,
    v1::{self, get_resource_shadow_request::Entity, shadows_server::Shadows},
};
use foreshadow_engine::EngineHandle;
use foreshadow_types::UserId;
use tonic::{Request, Response, Status};

use crate::{access::Caller, convert::shadow_view_to_proto, error::ApiError};

#[derive(Debug, Clone)]
pub(crate) struct ShadowsService {
    pub(crate) engine: EngineHandle,
}

/// The shadow of an entity. Users and applications share one space of names.
pub(crate) async fn shadow_of(
    engine: &EngineHandle,
    caller: &Caller,
    field: &str,
    name: &str,
) -> Result<v1::ResourceShadow, ApiError> {
    let entity = required_name(field, name, UserId::new)?;
    caller.check_shadow(entity.as_str())?;
    let view = engine.resource_shadow(&entity).await?;
    Ok(shadow_view_to_proto(view, engine.durability()))
}

#[tonic::async_trait]
impl Shadows for ShadowsService {
    async fn get_resource_shadow(
        &self,
        request: Request<v1::GetResourceShadowRequest>,
    ) -> Result<Response<v1::ResourceShadow>, Status> {
        let caller = Caller::of(request.extensions())?;
        let shadow = match request.into_inner().entity {
            Some(Entity::UserId(user)) => shadow_of(&self.engine, &caller, "user_id", &user).await,
            Some(Entity::ApplicationId(application)) => {
                shadow_of(&self.engine, &caller, "application_id", &application).await
            }
            None => {
                let problem = "is missing; say whose shadow, user_id or application_id";
                Err(FieldError::new("user_id", problem).into())
            }
        };
        Ok(Response::new(shadow?))
    }
}
