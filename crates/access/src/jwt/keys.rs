//! The keys that may have signed a token.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::Value;
use thiserror::Error;

use super::JwtError;

/// Public keys, by id. Keys that verify no signature are left out.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    verifies: DecodingKey,
}

/// Why a key set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeySetError {
    /// It is not written as RFC 7517 says.
    #[error("it is no JSON web key set: {0}")]
    Malformed(String),
    /// It verifies nothing.
    #[error("it has no public key of RSA, an elliptic curve or Ed25519")]
    Empty,
}

impl KeySet {
    /// Reads a key set, `{"keys": [...]}`. A key of an unknown kind is none to us, as the standard
    /// asks.
    ///
    /// # Errors
    /// [`KeySetError`] if it is none or has no key that verifies signatures.
    pub fn parse(text: &str) -> Result<Self, KeySetError> {
        let malformed = |problem: &str| KeySetError::Malformed(problem.to_owned());
        let set: Value =
            serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| malformed("there is no list `keys`"))?;
        let keys: Vec<Key> = listed.iter().filter_map(key).collect();
        if keys.is_empty() {
            Err(KeySetError::Empty)
        } else {
            Ok(Self { keys })
        }
    }

    /// No keys: every token is refused.
    pub fn none() -> Self {
        Self { keys: Vec::new() }
    }

    /// The key that signs by an algorithm and has this id; without an id there must be only one.
    pub(super) fn of(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&DecodingKey, JwtError> {
        let found = match id {
            Some(id) => self.keys.iter().find(|key| key.id.as_deref() == Some(id)),
            None => self.keys.first().filter(|_| self.keys.len() == 1),
        };
        let key = found.ok_or_else(|| JwtError::UnknownKey(id.unwrap_or_default().to_owned()))?;
        let fits = key.verifies.family() == algorithm.family()
            && key.algorithm.is_none_or(|own| own == algorithm);
        if fits {
            Ok(&key.verifies)
        } else {
            Err(JwtError::Malformed(format!(
                "it is signed by {algorithm:?}, which is not what its key is for"
            )))
        }
    }
}

fn key(listed: &Value) -> Option<Key> {
    let listed: Jwk = serde_json::from_value(listed.clone()).ok()?;
    let signs = matches!(
        listed.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    );
    let verifies = DecodingKey::from_jwk(&listed).ok()?;
    let public = verifies.family() != AlgorithmFamily::Hmac;
    (signs && public).then(|| Key {
        id: listed.common.key_id.clone(),
        algorithm: listed
            .common
            .key_algorithm
            .and_then(|algorithm| Algorithm::try_from(algorithm).ok()),
        verifies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_set_is_refused_and_secrets_are_no_keys() {
        for malformed in ["", "[]", "{}", r#"{"keys": 7}"#] {
            let error = KeySet::parse(malformed).unwrap_err();
            assert!(matches!(error, KeySetError::Malformed(_)), "{malformed}");
        }
        for useless in [
            r#"{"keys": []}"#,
            r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}"#,
            r#"{"keys": [{"kty": "new kind"}, 7]}"#,
        ] {
            assert_eq!(KeySet::parse(useless).unwrap_err(), KeySetError::Empty);
        }
    }
}
