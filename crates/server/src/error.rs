//! One table of errors: from the engine's to the codes of gRPC and HTTP.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use foreshadow_allocator::AllocatorError;
use foreshadow_api::{FieldError, duration_to_proto, v1};
use foreshadow_engine::EngineError;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    http: StatusCode,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl ApiError {
    pub(crate) fn new(code: Code, http: StatusCode, message: impl Into<String>) -> Self {
        Self {
            code,
            http,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, StatusCode::BAD_REQUEST, message)
    }

    /// It may be asked again in a moment.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The body came too slowly, as this says.
    pub(crate) fn too_slow(message: impl Into<String>) -> Self {
        Self::new(Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT, message)
    }

    /// Another replica, or the way to it, broke off; what was done is not known.
    pub(crate) fn broken_off(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(IN_A_MOMENT),
            ..Self::unavailable(message)
        }
    }

    /// Too many calls are under way; they will have ended after the delay.
    pub(crate) fn busy(delay: Duration) -> Self {
        let message = "too many calls are under way; try again after the delay given";
        Self::too_often(message, delay)
    }

    /// The caller should come again after a delay.
    pub(crate) fn too_often(message: impl Into<String>, delay: Duration) -> Self {
        Self {
            retry_after: Some(delay),
            ..Self::new(
                Code::ResourceExhausted,
                StatusCode::TOO_MANY_REQUESTS,
                message,
            )
        }
    }
}

/// After how long what has broken off may be asked again.
const IN_A_MOMENT: Duration = Duration::from_millis(100);

/// What another replica has refused, and when it said to come again; of one that broke off without a
/// word, in a moment.
impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let retry = status.get_details_retry_info();
        let told = retry.and_then(|retry| retry.retry_delay);
        let http = match status.code() {
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            _ => {
                let broken = Self::broken_off(status.message());
                return Self {
                    retry_after: told.or(broken.retry_after),
                    ..broken
                };
            }
        };
        Self {
            retry_after: told,
            ..Self::new(status.code(), http, status.message())
        }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let (code, http) = codes(&error);
        let retry_after = match &error {
            EngineError::Allocator(refusal) => refusal.retry_after(),
            _ => None,
        };
        Self {
            retry_after,
            ..Self::new(code, http, error.to_string())
        }
    }
}

fn codes(error: &EngineError) -> (Code, StatusCode) {
    match error {
        EngineError::Allocator(refusal) => allocator_codes(refusal),
        EngineError::UnknownPool(_)
        | EngineError::UnknownEntity(_)
        | EngineError::UnknownThen { .. }
        | EngineError::UnknownMetric { .. }
        | EngineError::UnknownOverride(_)
        | EngineError::NoPlan { .. } => (Code::NotFound, StatusCode::NOT_FOUND),
        EngineError::EtagMismatch { .. } => (Code::Aborted, StatusCode::PRECONDITION_FAILED),
        EngineError::Model { .. } | EngineError::Training => {
            (Code::FailedPrecondition, StatusCode::CONFLICT)
        }
        EngineError::Config(_) | EngineError::Argument { .. } => {
            (Code::InvalidArgument, StatusCode::BAD_REQUEST)
        }
        EngineError::Ledger(_) | EngineError::Log(_) | EngineError::Stopped => {
            (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

fn allocator_codes(refusal: &AllocatorError) -> (Code, StatusCode) {
    match refusal {
        AllocatorError::UnknownPool(_)
        | AllocatorError::UnknownAllocation(_)
        | AllocatorError::UnknownInstance(_) => (Code::NotFound, StatusCode::NOT_FOUND),
        AllocatorError::Exhausted { .. }
        | AllocatorError::TenantLimit { .. }
        | AllocatorError::WarmCap { .. }
        | AllocatorError::TenantRate { .. } => {
            (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS)
        }
        AllocatorError::NothingFits
        | AllocatorError::StaleToken { .. }
        | AllocatorError::WrongState { .. } => (Code::FailedPrecondition, StatusCode::CONFLICT),
        AllocatorError::IdempotencyConflict { .. } => (Code::AlreadyExists, StatusCode::CONFLICT),
        AllocatorError::StalePlan { .. } => (Code::Aborted, StatusCode::CONFLICT),
        AllocatorError::BadLeaseDuration
        | AllocatorError::PoolSpec(_)
        | AllocatorError::Quota(_) => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let Some(delay) = error.retry_after else {
            return Status::new(error.code, error.message);
        };
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(error.code, error.message, details)
    }
}

impl From<ApiError> for v1::AllocateError {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code as i32,
            message: error.message,
            retry_after: error.retry_after.map(duration_to_proto),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"code": self.code as i32, "message": self.message});
        let mut response = (self.http, Json(body)).into_response();
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_secs_f64().ceil().max(1.0) as u64;
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::PoolName;

    use super::*;

    #[test]
    fn what_another_replica_could_not_do_tells_when_to_ask_again() {
        let broken = ApiError::from(Status::unavailable("another replica: transport error"));
        let status = Status::from(broken.clone());
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(IN_A_MOMENT));
        assert_eq!(broken.into_response().headers()[header::RETRY_AFTER], "1");

        let busy = ApiError::too_often("too many", Duration::from_secs(7));
        let busy = ApiError::from(Status::from(busy));
        assert_eq!(busy.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let error = EngineError::Allocator(AllocatorError::Exhausted {
            pool: PoolName::new("notebook").unwrap(),
            queue_full: true,
            retry_after: Duration::from_millis(1_500),
        });
        let status = Status::from(ApiError::from(error.clone()));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let retry = status.get_details_retry_info().unwrap();
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(1_500)));
        let response = ApiError::from(error).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
