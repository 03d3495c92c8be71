//! The span of a call, by the semantic conventions of OpenTelemetry. It has neither paths nor headers
//! nor bodies: they tell of people, and of secrets.

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request},
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
/// What stands for a method that is not known.
const OTHER: &str = "_OTHER";

/// The span of a call in its trace; `None` if it is not sampled, or only asks how the server is. What
/// is called in turn goes on from here.
pub(super) fn of_call<B>(context: &dyn TraceContext, request: &mut Request<B>) -> Option<Span> {
    if only_asks_how_it_is(request.uri().path()) {
        return None;
    }
    let span = match rpc_called(request) {
        Some(called) => rpc(called),
        None => http(request.method()),
    };
    let kept = context.go_on(&span, request.headers_mut());
    kept.then_some(span)
}

fn only_asks_how_it_is(path: &str) -> bool {
    let parts = Parts::of(path);
    matches!(
        parts.as_deref(),
        Some(["healthz" | "readyz" | "metrics"] | ["grpc.health.v1.Health", _])
    )
}

/// The service and method of a call over gRPC.
pub(super) fn rpc_called<B>(request: &Request<B>) -> Option<(&str, &str)> {
    is_grpc(request.headers())
        .then(|| rpc_named(request.uri().path()))
        .flatten()
}

/// The service and method that a path names; a path of any other form may tell of people.
fn rpc_named(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (service.contains('.') && !method.contains('/')).then_some((service, method))
}

fn rpc((service, method): (&str, &str)) -> Span {
    info_span!(
        target: TARGET,
        parent: None,
        "rpc",
        otel.name = format!("{service}/{method}"),
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
        OTHER
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
    fn only_paths_of_grpc_are_repeated() {
        let named = rpc_named("/foreshadow.v1.Allocations/Allocate");
        assert_eq!(named, Some(("foreshadow.v1.Allocations", "Allocate")));
        for path in [
            "/user/ada/resource_shadow",
            "/user.x/ada/resource_shadow",
            "/user/ada.lovelace",
            "/",
            "",
        ] {
            assert_eq!(rpc_named(path), None, "{path}");
        }
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
        assert_eq!(known(&Method::from_bytes(b"SECRET").unwrap()), OTHER);
    }
}
