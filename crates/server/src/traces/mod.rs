//! Traces of calls: one span for each, which goes on the caller's trace.

mod claims;
mod span;

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::{MatchedPath, Request as PageRequest, State},
    http::{HeaderMap, Request},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use foreshadow_engine::trace;
use futures::future::{BoxFuture, Either, FutureExt};
use tonic::codegen::Service;
use tracing::{Instrument, Span};

pub(crate) use self::claims::{exchange, exchanged, not_taken};
use crate::options::ServerOptions;

/// Carries the context of a trace from one process to the next, in headers.
pub trait TraceContext: Debug + Send + Sync {
    /// Makes a fresh span go on the trace that the headers of its call tell of, or begin one. From
    /// here on the headers tell of this span. Says whether the trace is kept.
    fn go_on(&self, span: &Span, headers: &mut HeaderMap) -> bool;

    /// Gives another name to a span that has gone on.
    fn rename(&self, span: &Span, name: String);
}

/// All services, with a span around each call where traces are collected.
#[derive(Debug, Clone)]
pub(crate) struct Traced {
    context: Option<Arc<dyn TraceContext>>,
    inner: Router,
}

impl Traced {
    pub(crate) fn new(context: Option<Arc<dyn TraceContext>>, inner: Router) -> Self {
        Self { context, inner }
    }
}

type Answer = Result<Response, Infallible>;

impl<B> Service<Request<B>> for Traced
where
    Router: Service<Request<B>, Response = Response, Error = Infallible>,
    <Router as Service<Request<B>>>::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<<Router as Service<Request<B>>>::Future, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(context) = &self.context else {
            return Either::Left(self.inner.call(request));
        };
        let Some(span) = span::of_call(&**context, &mut request) else {
            return Either::Left(self.inner.call(request));
        };
        let grpc = span::rpc_called(&request).is_some();
        let answer = span.in_scope(|| self.inner.call(request));
        Either::Right(answered(answer, span, grpc).boxed())
    }
}

async fn answered(answer: impl Future<Output = Answer>, span: Span, grpc: bool) -> Answer {
    let response = answer.instrument(span.clone()).await?;
    Ok(if grpc {
        span::of_grpc(response, span)
    } else {
        span::of_http(response, &span)
    })
}

/// Has routes tell the spans of their calls which they are, where traces are collected.
pub(crate) fn told(routes: Router, options: &ServerOptions) -> Router {
    match &options.traces {
        Some(context) => routes.layer(from_fn_with_state(context.clone(), tell_route)),
        None => routes,
    }
}

async fn tell_route(
    State(context): State<Arc<dyn TraceContext>>,
    route: Option<MatchedPath>,
    request: PageRequest,
    next: Next,
) -> Response {
    if let Some(route) = route {
        let name = span::tell_route(&trace::current(), request.method(), route.as_str());
        context.rename(&trace::current(), name);
    }
    next.run(request).await
}
