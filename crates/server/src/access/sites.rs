//! No requests on behalf of pages of other sites, also not of one whose name was made to resolve to this
//! machine (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Request, Uri, header, uri::Authority};

/// Whether a request is for this machine by an address or name of its own.
pub(super) fn is_local<B>(request: &Request<B>) -> bool {
    // HTTP/1.0 and some probes name no host; a browser always does.
    host(request).is_none_or(|host| is_loopback(without_port(host)))
}

fn is_loopback(name: &str) -> bool {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(name).parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The host of `host:port`; the colons of an address in brackets are its own.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// The host is in a header over HTTP/1.1 and in the target over HTTP/2.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let authority = request.uri().authority().map(Authority::as_str);
    text(request.headers(), &header::HOST).or(authority)
}

pub(super) fn same_site<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let Some(origin) = text(headers, &header::ORIGIN) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let origin = origin.parse::<Uri>().ok();
    let authority = origin.as_ref().and_then(Uri::authority);
    authority.is_some() && authority.map(Authority::as_str) == host(request)
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let builder = headers
            .iter()
            .fold(Request::builder().uri(target), |builder, &(name, value)| {
                builder.header(name, value)
            });
        builder.body(()).unwrap()
    }

    fn from(target: &str, headers: &[(&str, &str)]) -> bool {
        same_site(&request(target, headers))
    }

    #[test]
    fn a_name_that_was_made_to_resolve_here_is_not_local() {
        for own in [
            "127.0.0.1:7070",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7070",
            "127.8.0.1",
        ] {
            assert!(is_local(&request("/", &[("host", own)])), "{own}");
        }
        assert!(
            is_local(&request("http://127.0.0.1:7070/", &[])),
            "over HTTP/2"
        );
        for other in [
            "evil.example:7070",
            "192.0.2.1",
            "localhost.evil.example",
            "",
            "a b",
        ] {
            assert!(!is_local(&request("/", &[("host", other)])), "{other}");
        }
        assert!(
            !is_local(&request("http://evil.example/", &[])),
            "over HTTP/2"
        );
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
