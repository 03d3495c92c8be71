//! Calls as they travel: read as a whole where something in them says where they go, sent on as they
//! came, and their answers read where several become one.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Version, header, request::Parts,
    },
    response::{IntoResponse, Response},
};
use foreshadow_engine::EngineHandle;
use foreshadow_types::ShardId;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use tonic::{Code, Status, codegen::Service};

use super::{Credentials, FORWARDED, routes::Route};
use crate::{access::is_grpc, error::ApiError};

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes before a message of gRPC: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// Headers of one connection, or of a browser's page, that are not for the next.
const NOT_SENT_ON: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ORIGIN,
    header::CONTENT_LENGTH,
    header::AUTHORIZATION,
];

/// A call whose body is here as a whole.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Call {
    /// Reads the whole body.
    pub(super) async fn read(request: Request<Body>, most: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let read = timeout(PATIENCE, Limited::new(body, most).collect()).await;
        let read = read.map_err(|_| ApiError::invalid("the body did not come in time"))?;
        let body = read.map_err(|error| {
            ApiError::invalid(format!(
                "the body cannot be read, or has more than {most} bytes: {error}"
            ))
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
    /// Whether what was asked for is not there.
    pub(super) unknown: bool,
    /// Whether another shard may have what this one has not.
    pub(super) elsewhere: bool,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            unknown: error.code == Code::NotFound,
            elsewhere: error.code == Code::FailedPrecondition,
            response: error.into_response(),
        }
    }
}

/// Reads an answer of one message.
pub(super) async fn answer<T: Message + Default + DeserializeOwned>(
    response: Response,
) -> Result<T, Refusal> {
    let (parts, body) = response.into_parts();
    let grpc = is_grpc(&parts.headers);
    let collected = body.collect().await;
    let collected = collected.map_err(|error| ApiError::unavailable(error.to_string()))?;
    let trailers = collected.trailers().cloned();
    let body = collected.to_bytes();
    let code = if grpc {
        let of = |headers: &HeaderMap| Status::from_header_map(headers).map(|status| status.code());
        trailers
            .as_ref()
            .and_then(of)
            .or_else(|| of(&parts.headers))
    } else {
        Some(code_of(parts.status))
    };
    if code != Some(Code::Ok) {
        return Err(Refusal {
            unknown: code == Some(Code::NotFound),
            elsewhere: code == Some(Code::FailedPrecondition),
            response: refused(parts, body, trailers),
        });
    }
    let message = if grpc {
        T::decode(body.get(FRAME_HEAD..).unwrap_or_default()).map_err(|error| error.to_string())
    } else {
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    };
    Ok(message.map_err(|error| ApiError::unavailable(format!("another replica said: {error}")))?)
}

fn code_of(status: StatusCode) -> Code {
    match status {
        status if status.is_success() => Code::Ok,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        _ => Code::Unknown,
    }
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

/// The services of one shard, for one caller.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    shard: ShardId,
    route: Route,
    credentials: Credentials,
}

impl Reach {
    pub(super) fn new(shard: ShardId, route: Route, credentials: Credentials) -> Self {
        Self {
            shard,
            route,
            credentials,
        }
    }

    /// The engine of the shard, if it is here.
    pub(super) fn engine(&self) -> Option<&EngineHandle> {
        self.route.engine()
    }

    /// Sends a call on.
    pub(super) async fn send(mut self, request: Request<Body>) -> Response {
        let grpc = is_grpc(request.headers());
        match Service::call(&mut self, request).await {
            Ok(response) => response,
            Err(status) => refusal(grpc, ApiError::unavailable(status.message())),
        }
    }

    /// The call as the next replica is to see it.
    fn sent_on<B>(&self, request: Request<B>) -> Request<B> {
        let (mut parts, body) = request.into_parts();
        for name in &NOT_SENT_ON {
            parts.headers.remove(name);
        }
        parts
            .headers
            .insert(FORWARDED, HeaderValue::from(self.shard.0));
        if let Some(shown) = &self.credentials.authorization {
            parts.headers.insert(header::AUTHORIZATION, shown.clone());
        }
        let mut next = Request::new(body);
        *next.version_mut() = Version::HTTP_2;
        *next.method_mut() = parts.method;
        *next.uri_mut() = parts.uri;
        *next.headers_mut() = parts.headers;
        next
    }
}

impl<B> Service<Request<B>> for Reach
where
    B: axum::body::HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reach = self.clone();
        Box::pin(async move {
            match reach.route.clone() {
                Route::Here(room) => {
                    let mut request = request;
                    request
                        .extensions_mut()
                        .insert(reach.credentials.caller.clone());
                    let mut router = room.router.clone();
                    match router.call(request.map(Body::new)).await {
                        Ok(response) => Ok(response),
                        Err(never) => match never {},
                    }
                }
                Route::There { mut channel, .. } => {
                    let request = reach.sent_on(request).map(tonic::body::Body::new);
                    let unreachable =
                        |error| Status::unavailable(format!("another replica: {error}"));
                    std::future::poll_fn(|cx| channel.poll_ready(cx))
                        .await
                        .map_err(unreachable)?;
                    let response = channel.call(request).await.map_err(unreachable)?;
                    Ok(response.map(Body::new))
                }
                Route::Nowhere => Err(Status::unavailable("nobody has the shard")),
            }
        })
    }
}
