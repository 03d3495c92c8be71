//! JSON web tokens (RFC 7519), signed by keys of a set (RFC 7517).

mod claims;
mod keys;
mod verified;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use foreshadow_types::Timestamp;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};
use thiserror::Error;

pub use claims::JwtRules;
pub use keys::{KeySet, KeySetError};
use verified::Verified;

use crate::{principal::Principal, token::TokenHash};

/// How far clocks may differ, in seconds.
const LEEWAY: f64 = 60.0;

/// Why signed claims are not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JwtError {
    /// It is none, or not signed as it must be.
    #[error("{0}")]
    Malformed(String),
    /// None of the keys at hand has signed it.
    #[error("no key `{0}` is in the key set")]
    UnknownKey(String),
    /// The time has passed.
    #[error("it has expired")]
    Expired,
    /// The time has not come.
    #[error("it is not valid yet")]
    Early,
    /// A claim is missing or not understood.
    #[error("its claim `{claim}` {problem}")]
    Claim {
        /// The claim's name.
        claim: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Verifies tokens and remembers those that it has verified until they expire.
#[derive(Debug)]
pub struct Verifier {
    rules: JwtRules,
    keys: RwLock<Arc<KeySet>>,
    verified: Verified,
    missed: AtomicBool,
}

impl Verifier {
    /// Verifies by these rules and keys.
    pub fn new(rules: JwtRules, keys: KeySet) -> Self {
        Self {
            rules,
            keys: RwLock::new(Arc::new(keys)),
            verified: Verified::default(),
            missed: AtomicBool::new(false),
        }
    }

    /// Whether a bearer token has the form of signed claims.
    pub(crate) fn looks_signed(token: &str) -> bool {
        token.bytes().filter(|&byte| byte == b'.').count() == 2
    }

    /// Puts another key set in the place of the present one. What a key that is gone has signed is
    /// refused from now on.
    pub fn replace_keys(&self, keys: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.verified.forget();
    }

    /// Whether a token has named a key that is not in the set since this was last asked: then it is
    /// time to look for a new one.
    pub fn missed_a_key(&self) -> bool {
        self.missed.swap(false, Ordering::Relaxed)
    }

    /// Who has these claims.
    ///
    /// # Errors
    /// [`JwtError`] if they are not signed by a key of the set, not for us, or not valid now.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, JwtError> {
        let hash = TokenHash::of(token);
        if let Some(known) = self.verified.get(hash, now) {
            return Ok(known);
        }
        let epoch = self.verified.epoch();
        let claims = self.signed_claims(token);
        if let Err(JwtError::UnknownKey(_)) = &claims {
            self.missed.store(true, Ordering::Relaxed);
        }
        let claims = claims?;
        let expires = claims::check_times(&claims, now)?;
        let principal = Arc::new(self.rules.principal(&claims)?);
        self.verified
            .remember(hash, &principal, expires, now, epoch);
        Ok(principal)
    }

    fn signed_claims(&self, token: &str) -> Result<Map<String, Value>, JwtError> {
        let malformed = |error: jsonwebtoken::errors::Error| JwtError::Malformed(error.to_string());
        let header = decode_header(token).map_err(malformed)?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let key = keys.of(header.kid.as_deref(), header.alg)?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.rules.audience]);
        validation.set_issuer(&[&self.rules.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // The time is an argument here; `check_times` compares with it.
        validation.validate_exp = false;
        let decoded = decode::<Map<String, Value>>(token, key, &validation);
        Ok(decoded.map_err(malformed)?.claims)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
    use serde_json::json;

    use super::*;
    use crate::role::Role;

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_millis(NOW * 1_000)
    }

    fn rules() -> JwtRules {
        JwtRules::new("https://issuer.example", "foreshadow")
    }

    fn claims() -> Value {
        json!({
            "iss": "https://issuer.example", "aud": "foreshadow", "sub": "build-bot",
            "exp": NOW + 600, "role": "client", "tenant": "acme", "users": ["ada", "bot-*"],
        })
    }

    /// A key that signs, and its public half as it stands in a key set.
    fn pair(name: &str) -> (EncodingKey, Value) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        public.common.key_id = Some(name.to_owned());
        (key, serde_json::to_value(public).unwrap())
    }

    fn key_set(keys: &[&Value]) -> KeySet {
        KeySet::parse(&json!({ "keys": keys }).to_string()).unwrap()
    }

    fn signed(key: &EncodingKey, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        encode(&header, claims, key).unwrap()
    }

    fn with(name: &str, value: Value) -> Value {
        let mut changed = claims();
        changed[name] = value;
        changed
    }

    #[test]
    fn signed_claims_name_a_principal() {
        let (key, public) = pair("one");
        let verifier = Verifier::new(rules(), key_set(&[&public]));
        let token = signed(&key, "one", &claims());
        let principal = verifier.verify(&token, now()).unwrap();
        assert_eq!(
            (principal.name(), principal.role()),
            ("build-bot", Role::Client)
        );
        assert_eq!(principal.tenant().unwrap().as_str(), "acme");
        assert!(principal.check_user("bot-1").is_ok() && principal.check_user("bob").is_err());
        let again = verifier.verify(&token, now()).unwrap();
        assert!(Arc::ptr_eq(&principal, &again), "it is remembered");
        let later = Timestamp::from_millis((NOW + 1_000) * 1_000);
        assert_eq!(
            verifier.verify(&token, later).unwrap_err(),
            JwtError::Expired
        );
    }

    #[test]
    fn a_client_without_the_tenant_that_is_required_is_refused() {
        let (key, public) = pair("one");
        let required = JwtRules {
            tenant_required: true,
            ..rules()
        };
        let verifier = Verifier::new(required, key_set(&[&public]));
        for missing in [json!(null), json!("")] {
            let token = signed(&key, "one", &with("tenant", missing));
            let error = verifier.verify(&token, now()).unwrap_err().to_string();
            assert!(error.contains("`tenant`"), "{error}");
        }
        assert!(
            verifier
                .verify(&signed(&key, "one", &claims()), now())
                .is_ok()
        );
    }

    #[test]
    fn claims_that_are_not_for_us_are_refused() {
        let (key, public) = pair("one");
        let verifier = Verifier::new(rules(), key_set(&[&public]));
        for (name, value, expected) in [
            ("iss", json!("https://elsewhere.example"), "InvalidIssuer"),
            ("aud", json!("billing"), "InvalidAudience"),
            ("aud", json!(["billing", "payroll"]), "InvalidAudience"),
            ("exp", json!(NOW - 61), "expired"),
            ("exp", json!(null), "exp"),
            ("exp", json!("soon"), "exp"),
            ("nbf", json!(NOW + 61), "not valid yet"),
            ("nbf", json!("soon"), "nbf"),
            ("role", json!("root"), "`root` is no role"),
            ("role", json!(7), "`role`"),
            ("role", json!("operator"), "only a client"),
            ("tenant", json!(7), "`tenant`"),
            ("users", json!("ada"), "`users`"),
            ("users", json!(["a*b"]), "`a*b`"),
            ("sub", json!(""), "`name`"),
        ] {
            let token = signed(&key, "one", &with(name, value.clone()));
            let error = verifier.verify(&token, now()).unwrap_err().to_string();
            assert!(error.contains(expected), "{name} {value}: {error}");
        }
    }

    #[test]
    fn only_a_key_of_the_set_signs_and_the_set_may_rotate() {
        let ((one, public_one), (two, public_two)) = (pair("one"), pair("two"));
        let verifier = Verifier::new(rules(), key_set(&[&public_one]));
        let (by_one, by_two) = (
            signed(&one, "one", &claims()),
            signed(&two, "two", &claims()),
        );
        assert!(verifier.verify(&by_one, now()).is_ok());
        let unknown = JwtError::UnknownKey("two".to_owned());
        assert!(!verifier.missed_a_key());
        assert_eq!(verifier.verify(&by_two, now()).unwrap_err(), unknown);
        assert!(verifier.missed_a_key() && !verifier.missed_a_key());
        let forged = signed(&two, "one", &claims());
        let forged = verifier.verify(&forged, now()).unwrap_err();
        assert!(matches!(forged, JwtError::Malformed(_)), "{forged}");
        verifier.replace_keys(key_set(&[&public_two]));
        assert!(verifier.verify(&by_two, now()).is_ok());
        let gone = JwtError::UnknownKey("one".to_owned());
        assert_eq!(verifier.verify(&by_one, now()).unwrap_err(), gone);
    }

    #[test]
    fn a_shared_secret_and_no_signature_are_refused() {
        let (_, public) = pair("one");
        let verifier = Verifier::new(rules(), key_set(&[&public]));
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("one".to_owned());
        let secret = EncodingKey::from_secret(public.to_string().as_bytes());
        let with_secret = encode(&header, &claims(), &secret).unwrap();
        // {"alg":"none"} and an empty signature.
        let unsigned = "eyJhbGciOiJub25lIn0.e30.";
        for token in [&with_secret, unsigned, "..", "a.b.c", "é.é.é"] {
            let error = verifier.verify(token, now()).unwrap_err();
            assert!(matches!(error, JwtError::Malformed(_)), "{token}: {error}");
        }
    }
}
