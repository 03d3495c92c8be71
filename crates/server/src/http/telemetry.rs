//! `/api/v1/write` and `/v1/metrics`: what passive senders send.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use foreshadow_telemetry::{
    Intake, IntakeLimits, Mapped, OtlpEncoding, OtlpError, WriteError, read_export,
    read_write_request,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message;
use tokio::{sync::Semaphore, time::timeout};
use tonic::Code;

use super::owed::Debt;
use crate::{
    arrival::slowness,
    clock::now,
    cluster::{Credentials, Reports, Shown},
    error::ApiError,
};

/// Requests of passive senders that are worked on at a time.
const AT_ONCE: usize = 8;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(8);
/// When a sender that was refused should come again, in seconds.
const AGAIN_S: &str = "5";

/// The receivers of passive senders.
#[derive(Debug, Clone)]
pub(crate) struct Receivers {
    reports: Reports,
    pub(crate) intake: Arc<Intake>,
    limits: IntakeLimits,
    permits: Arc<Semaphore>,
    debt: Arc<Debt>,
}

impl Receivers {
    pub(crate) fn new(reports: Reports, intake: Arc<Intake>, limits: IntakeLimits) -> Self {
        Self {
            reports,
            intake,
            limits,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            debt: Arc::default(),
        }
    }

    /// Reads, maps and takes over what a sender sent; the inner error says why it cannot be read. It
    /// is answered when the samples are kept, and a sender that is faster waits: that is what holds
    /// it back.
    pub(crate) async fn take<E: Send + 'static>(
        &self,
        credentials: Option<Credentials>,
        read: impl FnOnce(&Intake) -> Result<Mapped, E> + Send + 'static,
    ) -> Result<Result<Mapped, E>, ApiError> {
        let turn = self.permits.clone().acquire_owned();
        let Ok(Ok(permit)) = timeout(PATIENCE, turn).await else {
            return Err(unavailable(format!(
                "samples come faster than they can be kept; send again in {AGAIN_S} s"
            )));
        };
        let (reports, intake) = (self.reports.clone(), self.intake.clone());
        let debt = self.debt.clone();
        // What is mapped counts as received, so a sender that goes away does not end this.
        let work = tokio::spawn(async move {
            let _permit = permit;
            let keep = |(observations, credentials)| {
                let kept = reports.take(observations, credentials);
                async move { kept.await.map(drop) }
            };
            debt.pay(keep).await?;
            let read = tokio::task::spawn_blocking(move || read(&intake)).await;
            let mut mapped = match read.map_err(|error| unavailable(error.to_string()))? {
                Ok(mapped) => mapped,
                Err(error) => return Ok(Err(error)),
            };
            let observations = std::mem::take(&mut mapped.observations);
            let kept = match reports
                .take(observations.clone(), credentials.clone())
                .await
            {
                Ok(kept) => kept,
                Err(error) => {
                    if error.code == Code::Unavailable {
                        debt.add((observations, credentials)).await;
                    }
                    return Err(error);
                }
            };
            mapped.reject(kept.rejected, "are more than the shadows take");
            Ok(Ok(mapped))
        });
        match work.await {
            Ok(answer) => answer,
            Err(error) => Err(unavailable(error.to_string())),
        }
    }
}

/// The body of a passive sender, which has to arrive in time.
struct Arrived(Bytes);

impl<S: Send + Sync> FromRequest<S> for Arrived {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|error| match slowness(&error) {
            Some(slow) => refused(StatusCode::REQUEST_TIMEOUT, slow),
            None => error.into_response(),
        })
    }
}

/// The routes of passive senders. They take every other refusal than 503 for an end, so what they sent
/// is worked on for as long as it takes; it has to arrive in time.
pub(crate) fn passive(receivers: Receivers) -> Router {
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/v1/metrics", post(export))
        .method_not_allowed_fallback(super::wrong_method)
        .layer(DefaultBodyLimit::max(receivers.limits.max_body_bytes))
        .with_state(receivers)
}

/// Remote write 1.0. 204 when all is kept; 400, which is not sent again, names what was refused.
async fn write(
    State(receivers): State<Receivers>,
    Shown(credentials): Shown,
    headers: HeaderMap,
    Arrived(body): Arrived,
) -> Response {
    if text(&headers, header::CONTENT_TYPE).contains("io.prometheus.write.v2") {
        let message =
            "remote write 2.0 is not spoken here; set protobuf_message to prometheus.WriteRequest";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let most = receivers.limits.max_body_bytes;
    let read = move |intake: &Intake| {
        let request = read_write_request(&body, most)?;
        Ok::<_, WriteError>(intake.write_request(&request, now()))
    };
    match receivers.take(credentials, read).await {
        Ok(Ok(Mapped {
            refusal: Some(refusal),
            ..
        })) => refused(StatusCode::BAD_REQUEST, refusal),
        Ok(Ok(_)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => again_later(error),
    }
}

/// OTLP over HTTP, answered in the encoding of the request.
async fn export(
    State(receivers): State<Receivers>,
    Shown(credentials): Shown,
    headers: HeaderMap,
    Arrived(body): Arrived,
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
    let most = receivers.limits.max_body_bytes;
    let read = move |intake: &Intake| {
        let request = read_export(&body, gzip, encoding, most)?;
        Ok::<_, OtlpError>(intake.export(&request, now()))
    };
    match receivers.take(credentials, read).await {
        Ok(Ok(mapped)) => exported(encoding, mapped),
        Ok(Err(error)) => refused(StatusCode::BAD_REQUEST, error.to_string()),
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
