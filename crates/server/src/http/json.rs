//! Bodies and headers of JSON requests.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, header},
    response::IntoResponse,
};
use serde::de::DeserializeOwned;

use crate::{arrival::slowness, error::ApiError};

/// A message read from a JSON body; unknown fields and malformed JSON are refused with their place.
#[derive(Debug)]
pub(crate) struct ProtoJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ProtoJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(unreadable)?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let mend = "see /openapi.json for the message";
            ApiError::invalid(format!("the body is not as it must be: {error}; {mend}"))
        })
    }
}

fn unreadable(rejection: BytesRejection) -> ApiError {
    if let Some(slow) = slowness(&rejection) {
        return ApiError::too_slow(slow);
    }
    let message = format!("the body cannot be read: {rejection}");
    let status = rejection.into_response().status();
    ApiError::new(tonic::Code::InvalidArgument, status, message)
}

/// The etag that a change is made against; `*` and absence compare nothing.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(given) = headers.get(header::IF_MATCH) else {
        return Ok(String::new());
    };
    let text = given.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(String::new());
    }
    let bare = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    if bare.is_empty() || bare.contains(['"', ',']) {
        let message =
            format!("If-Match is {text:?}; give the one ETag that was read, or leave it out");
        return Err(ApiError::invalid(message));
    }
    Ok(bare.to_owned())
}

/// The header that carries an etag, if it can be one.
pub(crate) fn etag(tag: &str) -> Option<(header::HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(&format!("\"{tag}\"")).ok()?;
    Some((header::ETAG, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_read_with_and_without_quotes() {
        let read = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            if_match(&[(header::IF_MATCH, value)].into_iter().collect())
        };
        assert_eq!(read("\"v3\""), Ok("v3".to_owned()));
        assert_eq!(read("v3"), Ok("v3".to_owned()));
        assert_eq!(read("*"), Ok(String::new()));
        assert_eq!(if_match(&HeaderMap::new()), Ok(String::new()));
        assert!(read("\"a\", \"b\"").is_err());
        assert!(read("").is_err());
    }
}
