//! `/api/v1/write` and `/v1/metrics`: what passive senders send.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use foreshadow_engine::EngineHandle;
use foreshadow_telemetry::{
    Intake, IntakeLimits, Mapped, OtlpEncoding, read_export, read_write_request,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message;
use tokio::{sync::Semaphore, time::timeout};
use tonic::Code;

use crate::{clock::now, error::ApiError};

/// Requests of passive senders that are worked on at a time.
const AT_ONCE: usize = 8;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(8);
/// When a sender that was refused should come again, in seconds.
const AGAIN_S: &str = "5";

/// The receivers of passive senders.
#[derive(Debug, Clone)]
pub(crate) struct Receivers {
    engine: EngineHandle,
    pub(crate) intake: Arc<Intake>,
    limits: IntakeLimits,
    permits: Arc<Semaphore>,
}

impl Receivers {
    pub(crate) fn new(engine: EngineHandle, intake: Arc<Intake>, limits: IntakeLimits) -> Self {
        Self {
            engine,
            intake,
            limits,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Maps and takes over what a sender sent. It is answered when the samples are kept, and a
    /// sender that is faster waits: that is what holds it back.
    pub(crate) async fn take(
        &self,
        map: impl FnOnce(&Intake) -> Mapped + Send + 'static,
    ) -> Result<Mapped, ApiError> {
        let turn = self.permits.clone().acquire_owned();
        let Ok(Ok(permit)) = timeout(PATIENCE, turn).await else {
            return Err(unavailable(format!(
                "samples come faster than they can be kept; send again in {AGAIN_S} s"
            )));
        };
        let (engine, intake) = (self.engine.clone(), self.intake.clone());
        // What is mapped counts as received, so a sender that goes away does not end this.
        let work = tokio::spawn(async move {
            let mut mapped = map(&intake);
            let observations = std::mem::take(&mut mapped.observations);
            if !observations.is_empty() {
                engine.report(observations).await?;
            }
            drop(permit);
            Ok(mapped)
        });
        match work.await {
            Ok(answer) => answer,
            Err(error) => Err(unavailable(error.to_string())),
        }
    }
}

/// Remote write 1.0. 204 when all is kept; 400, which is not sent again, names what was refused.
pub(crate) async fn write(
    State(receivers): State<Receivers>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if text(&headers, header::CONTENT_TYPE).contains("io.prometheus.write.v2") {
        let message =
            "remote write 2.0 is not spoken here; set protobuf_message to prometheus.WriteRequest";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let request = match read_write_request(&body, receivers.limits.max_body_bytes) {
        Ok(request) => request,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match receivers
        .take(move |intake| intake.write_request(&request, now()))
        .await
    {
        Ok(Mapped {
            refusal: Some(refusal),
            ..
        }) => refused(StatusCode::BAD_REQUEST, refusal),
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => again_later(error),
    }
}

/// OTLP over HTTP, answered in the encoding of the request.
pub(crate) async fn export(
    State(receivers): State<Receivers>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = text(&headers, header::CONTENT_TYPE);
    let encoding = if kind.starts_with("application/json") {
        OtlpEncoding::Json
    } else if kind.starts_with("application/x-protobuf") {
        OtlpEncoding::Protobuf
    } else {
        let message = "send application/x-protobuf or application/json";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    };
    let gzip = match text(&headers, header::CONTENT_ENCODING) {
        "" | "identity" => false,
        "gzip" => true,
        _ => {
            return refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send gzip or no compression",
            );
        }
    };
    let request = match read_export(&body, gzip, encoding, receivers.limits.max_body_bytes) {
        Ok(request) => request,
        Err(error) => return refused(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match receivers
        .take(move |intake| intake.export(&request, now()))
        .await
    {
        Ok(mapped) => exported(encoding, mapped),
        Err(error) => again_later(error),
    }
}

/// What is answered to an export.
pub(crate) fn export_response(mapped: Mapped) -> ExportMetricsServiceResponse {
    let refused = i64::try_from(mapped.refused).unwrap_or(i64::MAX);
    ExportMetricsServiceResponse {
        partial_success: mapped
            .refusal
            .map(|error_message| ExportMetricsPartialSuccess {
                rejected_data_points: refused,
                error_message,
            }),
    }
}

fn exported(encoding: OtlpEncoding, mapped: Mapped) -> Response {
    let response = export_response(mapped);
    let (kind, body) = match encoding {
        OtlpEncoding::Protobuf => ("application/x-protobuf", response.encode_to_vec()),
        OtlpEncoding::Json if response.partial_success.is_none() => {
            ("application/json", b"{}".to_vec())
        }
        // Plain values in memory can always be written.
        OtlpEncoding::Json => (
            "application/json",
            serde_json::to_vec(&response).unwrap_or_default(),
        ),
    };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn unavailable(message: String) -> ApiError {
    ApiError::new(Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, message)
}

fn refused(status: StatusCode, message: impl Into<String>) -> Response {
    ApiError::new(Code::InvalidArgument, status, message.into()).into_response()
}

/// Senders repeat after 503 and give up after others.
fn again_later(error: ApiError) -> Response {
    let mut response = error.into_response();
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let again = HeaderValue::from_static(AGAIN_S);
    response.headers_mut().insert(header::RETRY_AFTER, again);
    response
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim()
}
