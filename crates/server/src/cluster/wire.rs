//! Calls and answers as they travel: read as a whole where something in a call says where it goes, and
//! where several answers become one.

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tonic::{Code, Status};

use crate::{access::is_grpc, arrival::slowness, error::ApiError};

/// Bytes before a message of gRPC: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// A call whose body is here as a whole.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Call {
    /// Reads the whole body, of `most` bytes at the most.
    pub(super) async fn read(request: Request<Body>, most: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(|error| {
            if let Some(slow) = slowness(&*error) {
                return ApiError::too_slow(slow);
            }
            if error.is::<LengthLimitError>() {
                let message = format!("the body has more than {most} bytes");
                return ApiError::new(Code::OutOfRange, StatusCode::PAYLOAD_TOO_LARGE, message);
            }
            ApiError::invalid(format!("the body cannot be read: {error}"))
        })?;
        Ok(Self {
            parts,
            body: body.to_bytes(),
        })
    }

    pub(super) fn is_grpc(&self) -> bool {
        is_grpc(&self.parts.headers)
    }

    /// Its message, or of it what this type knows; what cannot be read is empty, and refused by
    /// whoever answers.
    pub(super) fn glance<T: Message + Default>(&self) -> T {
        let message = self.body.get(FRAME_HEAD..).unwrap_or_default();
        T::decode(message).unwrap_or_default()
    }

    /// Its message, however it is written.
    pub(super) fn message<T: Message + Default + DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.is_grpc() {
            let message = self.body.get(FRAME_HEAD..).unwrap_or_default();
            return T::decode(message).map_err(|error| ApiError::invalid(error.to_string()));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let mend = "see /openapi.json for the message";
            ApiError::invalid(format!("the body is not as it must be: {error}; {mend}"))
        })
    }

    /// The same call with another message.
    pub(super) fn with<T: Message + Serialize>(&self, message: &T) -> Self {
        let body = if self.is_grpc() {
            framed(message)
        } else {
            // Plain values in memory can always be written.
            serde_json::to_vec(message).unwrap_or_default().into()
        };
        Self {
            parts: self.parts.clone(),
            body,
        }
    }

    pub(super) fn request(self) -> Request<Body> {
        Request::from_parts(self.parts, Body::from(self.body))
    }
}

/// A message as gRPC carries it.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(FRAME_HEAD + length);
    frame.push(0);
    frame.extend_from_slice(&(length as u32).to_be_bytes());
    frame.extend_from_slice(&message.encode_to_vec());
    frame.into()
}

/// What a shard has answered instead of a message.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) response: Response,
    code: Code,
}

impl Refusal {
    fn of(grpc: bool, error: ApiError) -> Self {
        Self {
            code: error.code,
            response: refusal(grpc, error),
        }
    }

    /// Whether what was asked for is not there.
    pub(super) fn is_unknown(&self) -> bool {
        self.code == Code::NotFound
    }

    /// Whether another shard may have what this one has not.
    pub(super) fn is_for_others(&self) -> bool {
        self.code == Code::FailedPrecondition
    }
}

/// Reads an answer of one message.
pub(super) async fn answer<T: Message + Default + DeserializeOwned>(
    response: Response,
) -> Result<T, Refusal> {
    let (parts, body) = response.into_parts();
    let grpc = is_grpc(&parts.headers);
    let broken = |error: String| {
        let message = format!("the answer of a shard cannot be read: {error}");
        Refusal::of(grpc, ApiError::broken_off(message))
    };
    let collected = body.collect().await;
    let collected = collected.map_err(|error| broken(error.to_string()))?;
    let trailers = collected.trailers().cloned();
    let body = collected.to_bytes();
    let code = if grpc {
        let of = |headers: &HeaderMap| Status::from_header_map(headers).map(|status| status.code());
        let code = trailers.as_ref().and_then(of);
        code.or_else(|| of(&parts.headers)).unwrap_or(Code::Unknown)
    } else if parts.status.is_success() {
        Code::Ok
    } else {
        told_code(&body)
    };
    if code != Code::Ok {
        let response = refused(parts, body, trailers);
        return Err(Refusal { response, code });
    }
    if grpc {
        let message = T::decode(body.get(FRAME_HEAD..).unwrap_or_default());
        return message.map_err(|error| broken(error.to_string()));
    }
    serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
}

/// The code that the body of a refusal over HTTP tells.
fn told_code(body: &[u8]) -> Code {
    #[derive(serde::Deserialize)]
    struct Told {
        code: i32,
    }
    let told = serde_json::from_slice::<Told>(body);
    told.map_or(Code::Unknown, |told| Code::from_i32(told.code))
}

/// The answer as it came. Of gRPC its status goes into the headers, where a refusal may have it.
fn refused(
    mut parts: axum::http::response::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
) -> Response {
    if let Some(trailers) = trailers {
        parts.headers.extend(trailers);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// Answers a call with a message, in the way the call was made.
pub(super) fn told<T: Message + Serialize>(grpc: bool, message: &T) -> Response {
    if !grpc {
        return axum::Json(message).into_response();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = http_body_util::Full::new(framed(message))
        .with_trailers(std::future::ready(Some(Ok(trailers))));
    let kind = [(header::CONTENT_TYPE, "application/grpc")];
    (kind, Body::new(body)).into_response()
}

/// Answers a call with an error, in the way the call was made.
pub(super) fn refusal(grpc: bool, error: ApiError) -> Response {
    if grpc {
        return Status::from(error).into_http();
    }
    error.into_response()
}
