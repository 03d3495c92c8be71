//! Everybody who may call.

use std::{collections::HashMap, sync::Arc};

use foreshadow_types::Timestamp;
use thiserror::Error;

use crate::{
    jwt::{JwtError, Verifier},
    principal::{Grant, GrantError, Principal},
    token::TokenHash,
};

/// Everybody who may call, by what they show.
#[derive(Debug, Default)]
pub struct Directory {
    tokens: HashMap<TokenHash, Arc<Principal>>,
    certificates: HashMap<String, Arc<Principal>>,
    verifier: Option<Arc<Verifier>>,
}

/// What a caller shows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Presented<'a> {
    /// A bearer token.
    pub bearer: Option<&'a str>,
    /// The names in its verified client certificate.
    pub certificate_names: &'a [String],
}

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing was shown.
    #[error("no token was sent; send `authorization: Bearer TOKEN`")]
    Nothing,
    /// The token is nobody's.
    #[error("the token is not known; send `authorization: Bearer TOKEN` with one that is")]
    Unknown,
    /// The signed claims are not accepted.
    #[error("the token is refused: {0}")]
    Jwt(#[from] JwtError),
}

impl Directory {
    /// Lets whoever shows this token in, as the grant says.
    ///
    /// # Errors
    /// [`GrantError`] if the grant contradicts itself.
    pub fn add_token(&mut self, hash: TokenHash, grant: Grant) -> Result<(), GrantError> {
        let principal = Arc::new(Principal::new(grant)?);
        once(self.tokens.insert(hash, principal))
    }

    /// Lets in whoever has a client certificate with this name, as the grant says.
    ///
    /// # Errors
    /// [`GrantError`] if the grant contradicts itself.
    pub fn add_certificate(&mut self, name: String, grant: Grant) -> Result<(), GrantError> {
        let principal = Arc::new(Principal::new(grant)?);
        once(self.certificates.insert(name, principal))
    }

    /// Lets in whoever shows claims that are signed as they must be.
    pub fn set_verifier(&mut self, verifier: Arc<Verifier>) {
        self.verifier = Some(verifier);
    }

    /// Whether anybody may call.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.certificates.is_empty() && self.verifier.is_none()
    }

    /// Who shows this. A token counts before a certificate.
    ///
    /// # Errors
    /// [`Refusal`] says why nobody is recognised.
    pub fn recognise(
        &self,
        shown: Presented<'_>,
        now: Timestamp,
    ) -> Result<Arc<Principal>, Refusal> {
        let Some(bearer) = shown.bearer else {
            return self
                .certified(shown.certificate_names)
                .ok_or(Refusal::Nothing);
        };
        if let Some(known) = self.tokens.get(&TokenHash::of(bearer)) {
            return Ok(Arc::clone(known));
        }
        match &self.verifier {
            Some(verifier) if Verifier::looks_signed(bearer) => Ok(verifier.verify(bearer, now)?),
            Some(_) | None => Err(Refusal::Unknown),
        }
    }

    fn certified(&self, names: &[String]) -> Option<Arc<Principal>> {
        names
            .iter()
            .find_map(|name| self.certificates.get(name).cloned())
    }
}

/// Nobody had it before.
fn once(before: Option<Arc<Principal>>) -> Result<(), GrantError> {
    before.map_or(Ok(()), |before| {
        let name = before.name().to_owned();
        Err(GrantError::Twice { name })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    fn grant(name: &str, role: Role) -> Grant {
        Grant {
            name: name.to_owned(),
            role,
            tenant: None,
            users: None,
            rate: None,
        }
    }

    fn directory() -> Directory {
        let mut directory = Directory::default();
        let hash = TokenHash::of("correct-horse-battery");
        directory
            .add_token(hash, grant("ci", Role::Client))
            .unwrap();
        directory
            .add_certificate(
                "collector.example".to_owned(),
                grant("otel", Role::Telemetry),
            )
            .unwrap();
        directory
    }

    fn who(shown: Presented<'_>) -> Result<String, Refusal> {
        let now = Timestamp::from_millis(0);
        let found = directory().recognise(shown, now);
        found.map(|principal| principal.name().to_owned())
    }

    #[test]
    fn a_caller_is_known_by_its_token_or_its_certificate() {
        let names = ["other".to_owned(), "collector.example".to_owned()];
        let token = Presented {
            bearer: Some("correct-horse-battery"),
            certificate_names: &names,
        };
        assert_eq!(who(token), Ok("ci".to_owned()));
        let certificate = Presented {
            bearer: None,
            ..token
        };
        assert_eq!(who(certificate), Ok("otel".to_owned()));
        assert_eq!(who(Presented::default()), Err(Refusal::Nothing));
    }

    #[test]
    fn what_is_shown_belongs_to_one_caller() {
        let hash = TokenHash::of("correct-horse-battery");
        let again = directory().add_token(hash, grant("other", Role::Admin));
        let name = "ci".to_owned();
        assert_eq!(again, Err(GrantError::Twice { name }));
    }

    #[test]
    fn a_wrong_token_is_not_mended_by_a_certificate() {
        let names = ["collector.example".to_owned()];
        for bearer in ["correct-horse-batterz", "", "a.b.c"] {
            let shown = Presented {
                bearer: Some(bearer),
                certificate_names: &names,
            };
            assert_eq!(who(shown), Err(Refusal::Unknown), "{bearer}");
        }
    }
}
