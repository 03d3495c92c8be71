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

/// A token as it was given, which is never printed.
#[derive(Clone)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(token: String) -> Self {
        Self(token)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }
}

/// The token that goes with each call; it can be exchanged while the client is used.
#[derive(Clone)]
pub struct Credentials(Arc<Shown>);

struct Shown {
    token: RwLock<Option<MetadataValue<Ascii>>>,
    /// The address, if a token could be read on the way to it.
    exposed: Option<String>,
}

impl Credentials {
    /// None so far. There will be none either where one would be `exposed`.
    pub(crate) fn new(exposed: Option<String>) -> Self {
        let token = RwLock::default();
        Self(Arc::new(Shown { token, exposed }))
    }

    /// Shows this token from now on.
    ///
    /// # Errors
    /// [`Error::Setup`] if it would be exposed, or cannot stand in a header.
    pub(crate) fn show(&self, token: &str) -> Result<(), Error> {
        if let Some(address) = &self.0.exposed {
            let problem = format!(
                "would travel to {address} where anybody on the way can read it; give an https:// \
                 address, or say `allow_plain_token`"
            );
            return Err(Error::setup("token", problem));
        }
        let value = MetadataValue::try_from(format!("Bearer {token}"));
        let Some(mut value) = value.ok().filter(|_| !token.trim().is_empty()) else {
            let problem =
                "is empty or has characters that no header may have, such as an end of line";
            return Err(Error::setup("token", problem));
        };
        value.set_sensitive(true);
        let mut shown = self.0.token.write().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(value);
        Ok(())
    }

    fn shown(&self) -> Option<MetadataValue<Ascii>> {
        let shown = self.0.token.read().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.shown();
        f.write_str(if token.is_some() {
            "a token"
        } else {
            "no token"
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
        let credentials = Credentials::new(None);
        let clone = credentials.clone();
        assert_eq!(header(&clone), None);
        credentials.show("first").unwrap();
        assert_eq!(header(&clone).as_deref(), Some("Bearer first"));
        credentials.show("second").unwrap();
        assert_eq!(header(&clone).as_deref(), Some("Bearer second"));
    }

    #[test]
    fn a_token_that_would_be_exposed_is_not_shown() {
        let credentials = Credentials::new(Some("http://pools.example/".to_owned()));
        let error = credentials.show("secret").unwrap_err().to_string();
        assert!(
            error.contains("pools.example") && !error.contains("secret"),
            "{error}"
        );
        assert_eq!(header(&credentials), None);
    }

    #[test]
    fn a_token_is_never_printed() {
        let credentials = Credentials::new(None);
        credentials.show("secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "a token");
        assert_eq!(format!("{:?}", Token::new("secret".to_owned())), "a token");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_refused() {
        for token in ["", " ", "a\nb"] {
            let error = Credentials::new(None).show(token).unwrap_err();
            assert!(error.to_string().starts_with("`token`"), "{error}");
        }
    }
}
