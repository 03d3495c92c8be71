//! The token that goes with each call.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::Error;

/// The token that goes with each call; it can be exchanged while the client is used.
#[derive(Clone, Default)]
pub struct Credentials(Arc<RwLock<Option<MetadataValue<Ascii>>>>);

impl Credentials {
    /// Shows this token from now on.
    ///
    /// # Errors
    /// [`Error::Setup`] if it cannot stand in a header.
    pub(crate) fn show(&self, token: &str) -> Result<(), Error> {
        let value = MetadataValue::try_from(format!("Bearer {token}"));
        let mut value = value
            .ok()
            .filter(|_| !token.trim().is_empty())
            .ok_or_else(|| {
                Error::setup(
                    "token",
                    "is empty or has characters that no header may have",
                )
            })?;
        value.set_sensitive(true);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shown().is_none()
    }

    fn shown(&self) -> Option<MetadataValue<Ascii>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() {
            "no token"
        } else {
            "a token"
        })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(shown) = self.shown() {
            request.metadata_mut().insert("authorization", shown);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &Credentials) -> Option<String> {
        let request = credentials.clone().call(Request::new(())).unwrap();
        let value = request.metadata().get("authorization")?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_token_of_every_clone_is_exchanged_at_once() {
        let credentials = Credentials::default();
        let clone = credentials.clone();
        assert_eq!(header(&clone), None);
        credentials.show("first").unwrap();
        assert_eq!(header(&clone).as_deref(), Some("Bearer first"));
        credentials.show("second").unwrap();
        assert_eq!(header(&clone).as_deref(), Some("Bearer second"));
    }

    #[test]
    fn a_token_is_never_printed() {
        let credentials = Credentials::default();
        credentials.show("secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "a token");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused() {
        for token in ["", " ", "a\nb"] {
            let error = Credentials::default().show(token).unwrap_err();
            assert!(error.to_string().starts_with("`token`"), "{error}");
        }
    }
}
