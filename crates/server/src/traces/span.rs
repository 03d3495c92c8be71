//! The span of a call, by the semantic conventions of OpenTelemetry. It has neither paths nor headers
//! nor bodies: they tell of people, and of secrets.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request},
    response::Response,
};
use foreshadow_engine::trace::TARGET;
use http_body_util::BodyExt;
use tonic::Code;
use tracing::{Span, field::Empty, info_span};

use super::TraceContext;
use crate::{access::is_grpc, path::Parts};

/// The header of gRPC with the code of the answer.
const GRPC_STATUS: &str = "grpc-status";
/// What stands for a method that HTTP does not know.
const OTHER_METHOD: &str = "_OTHER";

/// The span of a call in its trace; `None` if it is not sampled, or only asks how the server is. What
/// is called in turn goes on from here.
pub(super) fn of_call<B>(context: &dyn TraceContext, request: &mut Request<B>) -> Option<Span> {
    if only_asks_how_it_is(request.uri().path()) {
        return None;
    }
    let span = if is_grpc(request.headers()) {
        rpc(request.uri().path())
    } else {
        http(request.method())
    };
    let headers = request.headers();
    let gone_on = context.go_on(&span, &|name| the_one(headers, name));
    for (name, value) in gone_on.headers {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().insert(name, value);
        }
    }
    gone_on.sampled.then_some(span)
}

fn only_asks_how_it_is(path: &str) -> bool {
    let parts = Parts::of(path);
    matches!(
        parts.as_deref(),
        Some(["healthz" | "readyz" | "metrics"] | ["grpc.health.v1.Health", _])
    )
}

/// A header that is there once: of several, none is to be believed.
fn the_one(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then(|| value.to_owned())
}

fn rpc(path: &str) -> Span {
    let name = path.strip_prefix('/').unwrap_or(path);
    let (service, method) = name.split_once('/').unwrap_or((name, ""));
    info_span!(
        target: TARGET,
        parent: None,
        "rpc",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        foreshadow.pool = Empty,
        foreshadow.allocation.id = Empty,
        foreshadow.instance.id = Empty,
        foreshadow.outcome = Empty,
    )
}

fn http(method: &Method) -> Span {
    let method = known(method);
    info_span!(
        target: TARGET,
        parent: None,
        "http",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        foreshadow.pool = Empty,
        foreshadow.allocation.id = Empty,
        foreshadow.instance.id = Empty,
        foreshadow.outcome = Empty,
    )
}

/// A method by its name, if it is one that HTTP has.
fn known(method: &Method) -> &str {
    let all = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::CONNECT,
        Method::PATCH,
        Method::TRACE,
    ];
    if all.contains(method) {
        method.as_str()
    } else {
        OTHER_METHOD
    }
}

/// Tells a call's span which route it has taken; gives the name that it has then.
pub(super) fn tell_route(span: &Span, method: &Method, route: &str) -> String {
    span.record("http.route", route);
    format!("{} {route}", known(method))
}

/// The answer over HTTP ends the call.
pub(super) fn of_http(response: Response, span: &Span) -> Response {
    let status = response.status();
    // The conventions want a number, and of numbers only signed ones stay numbers.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    response
}

/// The answer over gRPC ends the call with its trailers, which may be its headers.
pub(super) fn of_grpc(response: Response, span: Span) -> Response {
    if response.headers().contains_key(GRPC_STATUS) {
        tell_code(&span, response.headers());
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            // What was left last says when a span ended.
            let _here = span.enter();
            if let Some(trailers) = frame.trailers_ref() {
                tell_code(&span, trailers);
            }
            frame
        }))
    })
}

fn tell_code(span: &Span, headers: &HeaderMap) {
    let Some(status) = headers.get(GRPC_STATUS) else {
        return;
    };
    let code = Code::from_bytes(status.as_bytes());
    span.record("rpc.grpc.status_code", i64::from(i32::from(code)));
    if is_own_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Whether a code says that the server, not its caller, is at fault.
fn is_own_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_contexts_none_is_believed() {
        let mut headers = HeaderMap::new();
        assert_eq!(the_one(&headers, "traceparent"), None);
        headers.append("traceparent", HeaderValue::from_static("a"));
        assert_eq!(the_one(&headers, "traceparent").as_deref(), Some("a"));
        headers.append("traceparent", HeaderValue::from_static("b"));
        assert_eq!(the_one(&headers, "traceparent"), None);
    }

    #[test]
    fn probes_and_scrapes_have_no_spans() {
        for path in [
            "/healthz",
            "/readyz",
            "/metrics",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(only_asks_how_it_is(path), "{path}");
        }
        for path in ["/", "/v1/metrics", "/foreshadow.v1.Allocations/Allocate"] {
            assert!(!only_asks_how_it_is(path), "{path}");
        }
    }

    #[test]
    fn a_method_that_http_does_not_know_is_not_repeated() {
        assert_eq!(known(&Method::GET), "GET");
        assert_eq!(known(&Method::from_bytes(b"SECRET").unwrap()), OTHER_METHOD);
    }
}
