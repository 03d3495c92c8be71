//! From claims to a principal.

use foreshadow_types::{TenantId, Timestamp};
use serde_json::{Map, Value};

use super::{JwtError, LEEWAY};
use crate::{
    principal::{Grant, Principal, UserPattern},
    rate::CallRate,
    role::Role,
};

/// Which tokens are for us, and in which claims they say what we need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRules {
    /// Who must have issued them (`iss`).
    pub issuer: String,
    /// For whom they must be (`aud`).
    pub audience: String,
    /// The claim that holds the role.
    pub role_claim: String,
    /// The claim that holds the tenant that a client is bound to.
    pub tenant_claim: String,
    /// Whether a client's claims must name a tenant.
    pub tenant_required: bool,
    /// The claim that lists the users that a client is bound to.
    pub users_claim: String,
    /// How often the holder of one token may call.
    pub rate: Option<CallRate>,
}

impl JwtRules {
    /// Tokens of this issuer for this audience, with claims `role`, `tenant` and `users`.
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            role_claim: "role".to_owned(),
            tenant_claim: "tenant".to_owned(),
            tenant_required: false,
            users_claim: "users".to_owned(),
            rate: None,
        }
    }

    pub(super) fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, JwtError> {
        let role = text(claims, &self.role_claim)?;
        let role = role.ok_or_else(|| wrong(&self.role_claim, "is missing"))?;
        let role = role
            .parse()
            .map_err(|error| wrong(&self.role_claim, format!("is wrong: {error}")))?;
        let tenant = text(claims, &self.tenant_claim)?
            .map(TenantId::new)
            .transpose()
            .map_err(|error| wrong(&self.tenant_claim, format!("is wrong: {error}")))?;
        if self.tenant_required && role == Role::Client && tenant.is_none() {
            return Err(wrong(&self.tenant_claim, "is missing"));
        }
        let grant = Grant {
            name: text(claims, "sub")?.unwrap_or_default().to_owned(),
            role,
            tenant,
            users: users(claims, &self.users_claim)?,
            rate: self.rate,
        };
        Principal::new(grant).map_err(|error| wrong("sub", format!("cannot be used: {error}")))
    }
}

/// When the claims expire, in seconds since 1970, if they are valid now.
pub(super) fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<f64, JwtError> {
    let now = now.as_millis() as f64 / 1_000.0;
    let expires = seconds(claims, "exp")?.ok_or_else(|| wrong("exp", "is missing"))?;
    if now > expires + LEEWAY {
        return Err(JwtError::Expired);
    }
    match seconds(claims, "nbf")? {
        Some(begins) if now + LEEWAY < begins => Err(JwtError::Early),
        Some(_) | None => Ok(expires + LEEWAY),
    }
}

fn seconds(claims: &Map<String, Value>, claim: &str) -> Result<Option<f64>, JwtError> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let number = value.as_f64().filter(|number| number.is_finite());
    number
        .map(Some)
        .ok_or_else(|| wrong(claim, "is no time in seconds"))
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<Option<&'a str>, JwtError> {
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(claim, "is no text")),
    }
}

fn users(claims: &Map<String, Value>, claim: &str) -> Result<Option<Vec<UserPattern>>, JwtError> {
    let listed = match claims.get(claim) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(listed)) => listed,
        Some(_) => return Err(wrong(claim, "is no list of users")),
    };
    let patterns = listed.iter().map(|one| {
        let text = one
            .as_str()
            .ok_or_else(|| wrong(claim, "is no list of users"))?;
        text.parse()
            .map_err(|error| wrong(claim, format!("is wrong: {error}")))
    });
    patterns.collect::<Result<_, _>>().map(Some)
}

fn wrong(claim: &str, problem: impl Into<String>) -> JwtError {
    JwtError::Claim {
        claim: claim.to_owned(),
        problem: problem.into(),
    }
}
