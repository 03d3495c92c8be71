//! `opentelemetry.proto.collector.metrics.v1.MetricsService`.

use std::convert::Infallible;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::MetricsService,
};
use tonic::{Request, Response, Status};

use crate::{
    clock::now,
    cluster::Credentials,
    http::{Receivers, export_response},
};

#[derive(Debug, Clone)]
pub(crate) struct OtlpService {
    pub(crate) receivers: Receivers,
}

#[tonic::async_trait]
impl MetricsService for OtlpService {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let credentials = Credentials::of_call(&request);
        let request = request.into_inner();
        let Ok(mapped) = self
            .receivers
            .take(credentials, move |intake| {
                Ok::<_, Infallible>(intake.export(&request, now()))
            })
            .await?;
        Ok(Response::new(export_response(mapped)))
    }
}
