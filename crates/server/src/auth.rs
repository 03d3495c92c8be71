//! Who may call: a bearer token, and no pages of other sites.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tonic::{Code, Status};

use crate::error::ApiError;

/// What is open to everyone: it says no more than whether the server works.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Lets a request pass that carries the token, or asks for a probe.
pub(crate) async fn require_token(
    State(token): State<Arc<str>>,
    request: Request,
    next: Next,
) -> Response {
    if OPEN.contains(&request.uri().path()) || carries(request.headers(), &token) {
        return next.run(request).await;
    }
    refused(request.headers())
}

/// Refuses what a browser sends on behalf of a page of another site.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if request.method().is_safe() || same_site(request.headers()) {
        return next.run(request).await;
    }
    let message = "requests from pages of other sites are not taken";
    ApiError::new(Code::PermissionDenied, StatusCode::FORBIDDEN, message).into_response()
}

fn same_site(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let authority = origin
        .as_ref()
        .and_then(Uri::authority)
        .map(axum::http::uri::Authority::as_str);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    authority.is_some() && authority == host
}

fn carries(headers: &HeaderMap, token: &str) -> bool {
    let Some(given) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    match given.split_once(' ') {
        Some((scheme, bearer)) if scheme.eq_ignore_ascii_case("bearer") => same(bearer, token),
        Some((scheme, basic)) if scheme.eq_ignore_ascii_case("basic") => {
            password(basic).is_some_and(|given| same(&given, token))
        }
        Some(_) | None => false,
    }
}

fn password(basic: &str) -> Option<String> {
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    decoded
        .split_once(':')
        .map(|(_, password)| password.to_owned())
}

/// Compares in a time that depends on the lengths alone.
fn same(given: &str, token: &str) -> bool {
    let pairs = given.bytes().zip(token.bytes());
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    given.len() == token.len() && std::hint::black_box(difference) == 0
}

fn refused(headers: &HeaderMap) -> Response {
    let message = "the token is missing or wrong; send `authorization: Bearer TOKEN`";
    if is_grpc(headers) {
        return Status::unauthenticated(message).into_http();
    }
    let error = ApiError::new(Code::Unauthenticated, StatusCode::UNAUTHORIZED, message);
    let mut response = error.into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"foreshadow\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Whether the caller speaks gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn only_the_token_opens() {
        let token = "correct-horse-battery";
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (given, expected) in [
            ("Bearer correct-horse-battery".to_owned(), true),
            ("bearer correct-horse-battery".to_owned(), true),
            ("Bearer correct-horse-batterz".to_owned(), false),
            ("Bearer correct-horse-battery-".to_owned(), false),
            ("Bearer ".to_owned(), false),
            ("correct-horse-battery".to_owned(), false),
            (basic("admin:correct-horse-battery"), true),
            (basic("correct-horse-battery"), false),
            ("Basic ???".to_owned(), false),
        ] {
            assert_eq!(
                carries(&headers(header::AUTHORIZATION, &given), token),
                expected,
                "{given}"
            );
        }
        assert!(!carries(&HeaderMap::new(), token));
    }

    #[test]
    fn a_page_of_another_site_is_recognised() {
        let mut both = headers(header::HOST, "127.0.0.1:7070");
        assert!(same_site(&both));
        both.insert(header::ORIGIN, "http://127.0.0.1:7070".parse().unwrap());
        assert!(same_site(&both));
        both.insert(header::ORIGIN, "https://example.com".parse().unwrap());
        assert!(!same_site(&both));
        both.insert(header::ORIGIN, "null".parse().unwrap());
        assert!(!same_site(&both));
    }
}
