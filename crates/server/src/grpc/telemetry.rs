//! `foreshadow.v1.Telemetry`.

use foreshadow_api::v1::{self, telemetry_server::Telemetry};
use foreshadow_engine::ReportOutcome;
use foreshadow_telemetry::{IntakeLimits, Refusals, batch_from_report};
use futures::{StreamExt, stream::BoxStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::stream::{messages, with_goodbye};
use crate::{
    clock::now,
    cluster::{Credentials, Reports},
    error::ApiError,
};

#[derive(Debug, Clone)]
pub(crate) struct TelemetryService {
    pub(crate) reports: Reports,
    pub(crate) limits: IntakeLimits,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Telemetry for TelemetryService {
    type ReportStream = BoxStream<'static, Result<v1::ReportResponse, Status>>;

    /// One batch at a time: the next is read when the engine has taken this one over.
    async fn report(
        &self,
        request: Request<Streaming<v1::ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let service = self.clone();
        let credentials = Credentials::of_call(&request);
        let answers = messages(request.into_inner(), Ok, &self.shutdown).then(move |report| {
            let (service, credentials) = (service.clone(), credentials.clone());
            async move {
                let taken = service.take(report?, credentials).await;
                taken.map_err(Status::from)
            }
        });
        Ok(Response::new(with_goodbye(answers, &self.shutdown)))
    }
}

impl TelemetryService {
    async fn take(
        &self,
        report: v1::ReportRequest,
        credentials: Option<Credentials>,
    ) -> Result<v1::ReportResponse, ApiError> {
        let batch = batch_from_report(report, now(), &self.limits)?;
        let outcome = self
            .reports
            .take_once(batch.observations, credentials)
            .await?;
        Ok(acknowledgement(&outcome, &batch.refusals))
    }
}

fn acknowledgement(outcome: &ReportOutcome, refusals: &Refusals) -> v1::ReportResponse {
    v1::ReportResponse {
        accepted: outcome.accepted,
        duplicates: outcome.duplicates,
        refused: outcome.rejected + refusals.total(),
        refused_not_finite: refusals.not_finite,
        refused_future: refusals.future,
        refused_past: refusals.past,
        refused_invalid_name: refusals.invalid_name,
        first_error: refusals
            .first_error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}
