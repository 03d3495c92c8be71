//! The token that a request carries.

use axum::http::{HeaderMap, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The token of `authorization: Bearer TOKEN`, or the password of basic authentication, which browsers
/// ask for. What cannot be read is an empty token, which is nobody's.
pub(super) fn bearer(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::AUTHORIZATION)?;
    Some(token(given.to_str().unwrap_or_default()).unwrap_or_default())
}

fn token(given: &str) -> Option<String> {
    let (scheme, rest) = given.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    decoded
        .split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_both_schemes() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (given, expected) in [
            (
                "Bearer correct-horse-battery".to_owned(),
                "correct-horse-battery",
            ),
            (
                "bearer correct-horse-battery".to_owned(),
                "correct-horse-battery",
            ),
            (
                basic("admin:correct-horse-battery"),
                "correct-horse-battery",
            ),
            ("Bearer ".to_owned(), ""),
            ("correct-horse-battery".to_owned(), ""),
            (basic("correct-horse-battery"), ""),
            ("Basic ???".to_owned(), ""),
            ("Digest correct-horse-battery".to_owned(), ""),
        ] {
            let headers = [(header::AUTHORIZATION, given.parse().unwrap())];
            let found = bearer(&headers.into_iter().collect());
            assert_eq!(found.as_deref(), Some(expected), "{given}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
