//! No requests on behalf of pages of other sites.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tonic::Code;

use crate::error::ApiError;

/// Refuses what a browser sends on behalf of a page of another site.
pub(crate) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    if request.method().is_safe() || same_site(&request) {
        return next.run(request).await;
    }
    let message = "requests from pages of other sites are not taken";
    ApiError::new(Code::PermissionDenied, StatusCode::FORBIDDEN, message).into_response()
}

/// The host is in a header over HTTP/1.1 and in the target over HTTP/2.
fn same_site(request: &Request) -> bool {
    let headers = request.headers();
    let Some(origin) = text(headers, &header::ORIGIN) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let origin = origin.parse::<Uri>().ok();
    let authority = origin.as_ref().and_then(Uri::authority);
    let host = text(headers, &header::HOST);
    let host = host.or_else(|| Some(request.uri().authority()?.as_str()));
    authority.is_some() && authority.map(axum::http::uri::Authority::as_str) == host
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn from(target: &str, headers: &[(&str, &str)]) -> bool {
        let builder = headers
            .iter()
            .fold(Request::builder().uri(target), |builder, &(name, value)| {
                builder.header(name, value)
            });
        same_site(&builder.body(Body::empty()).unwrap())
    }

    #[test]
    fn a_page_of_another_site_is_recognised() {
        let host = ("host", "127.0.0.1:7070");
        let own = ("origin", "http://127.0.0.1:7070");
        assert!(from("/", &[host]));
        assert!(from("/", &[host, own]));
        assert!(from("https://127.0.0.1:7070/", &[own]), "over HTTP/2");
        for other in ["https://example.com", "null", "", "\u{e9}"] {
            assert!(!from("/", &[host, ("origin", other)]), "{other}");
        }
    }
}
