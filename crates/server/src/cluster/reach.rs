//! The way of a call to its shard.

use std::{
    error::Error,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderName, HeaderValue, Request, Version, header},
    response::Response,
};
use foreshadow_engine::EngineHandle;
use foreshadow_types::ShardId;
use futures::future::BoxFuture;
use tonic::{ConnectError, Status, codegen::Service, metadata::MetadataValue};

use super::{CLIENT, Credentials, FORWARDED, MOVING, TRACE_HEADERS, moving, routes::Route};
use crate::error::ApiError;

/// Headers of one connection, or of a browser's page, that are not for the next.
const NOT_SENT_ON: [HeaderName; 9] = [
    header::HOST,
    // What another replica answers is read here and packed for the client then.
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::ORIGIN,
    header::CONTENT_LENGTH,
    header::AUTHORIZATION,
    HeaderName::from_static(CLIENT),
];

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The shard is not there any more; nothing was done.
    Moved,
    /// What was done is not known.
    Broken(Status),
}

impl Lost {
    /// What a client of [`Reach`] was told.
    pub(super) fn of(status: Status) -> Self {
        if status.metadata().contains_key(MOVING) {
            Self::Moved
        } else {
            Self::Broken(status)
        }
    }

    fn status(self, shard: ShardId) -> Status {
        match self {
            Self::Moved => {
                let mut status = Status::from(moving(shard));
                let mark = MetadataValue::from_static("1");
                status.metadata_mut().insert(MOVING, mark);
                status
            }
            Self::Broken(status) => status,
        }
    }
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
    pub(super) async fn send<B>(self, request: Request<B>) -> Result<Response, Lost>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        match self.route {
            Route::Here(room) => {
                let mut request = request;
                request.extensions_mut().insert(self.credentials.caller);
                let mut router = room.router.clone();
                match router.call(request.map(Body::new)).await {
                    Ok(response) => Ok(response),
                    Err(never) => match never {},
                }
            }
            Route::There { mut channel, .. } => {
                let request = sent_on(self.shard, &self.credentials, request);
                let request = request.map(tonic::body::Body::new);
                std::future::poll_fn(|cx| channel.poll_ready(cx))
                    .await
                    .map_err(|error| lost(&error))?;
                let response = channel.call(request).await.map_err(|error| lost(&error))?;
                if response.headers().contains_key(MOVING) {
                    return Err(Lost::Moved);
                }
                Ok(response.map(Body::new))
            }
            Route::Nowhere | Route::Stuck => Err(Lost::Moved),
        }
    }
}

/// A connection that did not come about has carried nothing.
fn lost(error: &tonic::transport::Error) -> Lost {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if one.is::<ConnectError>() {
            return Lost::Moved;
        }
        cause = one.source();
    }
    Lost::Broken(
        ApiError::broken_off(format!(
            "the replica that has the shard broke off ({error}), and what it did is not known; ask \
             again in a moment, with the same idempotency key"
        ))
        .into(),
    )
}

/// A call as the next replica is to see it.
fn sent_on<B>(shard: ShardId, credentials: &Credentials, request: Request<B>) -> Request<B> {
    let (parts, body) = request.into_parts();
    let mut headers = parts.headers;
    for name in &NOT_SENT_ON {
        headers.remove(name);
    }
    headers.insert(FORWARDED, HeaderValue::from(shard.0));
    if let Some(shown) = &credentials.authorization {
        headers.insert(header::AUTHORIZATION, shown.clone());
    }
    for (name, value) in TRACE_HEADERS.into_iter().zip(&credentials.trace) {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    let address = credentials.caller.address().map(|at| at.to_string());
    if let Some(Ok(address)) = address.map(HeaderValue::try_from) {
        headers.insert(CLIENT, address);
    }
    let mut next = Request::new(body);
    *next.version_mut() = Version::HTTP_2;
    *next.method_mut() = parts.method;
    *next.uri_mut() = parts.uri;
    *next.headers_mut() = headers;
    next
}

/// For the clients of services.
impl<B> Service<Request<B>> for Reach
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (shard, reach) = (self.shard, self.clone());
        Box::pin(async move {
            let answer = reach.send(request).await;
            answer.map_err(|lost| lost.status(shard))
        })
    }
}
