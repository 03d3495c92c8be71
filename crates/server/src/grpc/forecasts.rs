//! `foreshadow.v1.Forecasts`.

use foreshadow_api::v1::{self, forecasts_server::Forecasts};
use foreshadow_engine::{EngineHandle, Subject};
use tonic::{Request, Response, Status};

use crate::{
    access::Caller,
    convert::{forecast_to_proto, predict_from_proto},
    error::ApiError,
};

#[derive(Debug, Clone)]
pub(crate) struct ForecastsService {
    pub(crate) engine: EngineHandle,
}

#[tonic::async_trait]
impl Forecasts for ForecastsService {
    async fn predict(
        &self,
        request: Request<v1::PredictRequest>,
    ) -> Result<Response<v1::Forecast>, Status> {
        let caller = Caller::of(request.extensions())?;
        let question = predict_from_proto(request.into_inner()).map_err(ApiError::from)?;
        let allowed = match &question.subject {
            Subject::Entity(entity) => caller.check_shadow(entity.as_str()),
            Subject::Pool(_) => caller.check_unbound("the demand of a pool is theirs"),
        };
        allowed.map_err(ApiError::from)?;
        let prediction = self
            .engine
            .predict(question)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(forecast_to_proto(&prediction)))
    }
}
