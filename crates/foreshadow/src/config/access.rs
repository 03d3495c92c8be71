//! Who may call, and what encrypts the port, as written in the configuration.

use std::{path::PathBuf, time::Duration};

use foreshadow_access::{CallRate, Grant, JwtRules, Principal, TokenHash, UserPattern};
use foreshadow_server::{ClientCertificates, TlsFiles};
use foreshadow_types::TenantId;
use serde::Deserialize;
use toml::Spanned;

use super::{Fault, each, text::Span};

/// How often a key set is read again unless given.
const USUAL_REFRESH: Duration = Duration::from_mins(5);

/// The shortest time between two readings of a key set.
const LEAST_REFRESH: Duration = Duration::from_millis(100);

/// Who may call, and what encrypts the port.
#[derive(Debug, Default)]
pub(crate) struct AccessConfig {
    pub(crate) tokens: Vec<(TokenHash, Grant)>,
    /// By a name in the client's certificate.
    pub(crate) certificates: Vec<(String, Grant)>,
    pub(crate) jwt: Option<JwtConfig>,
    pub(crate) tls: Option<TlsFiles>,
}

/// Whose signed claims are accepted.
#[derive(Debug)]
pub(crate) struct JwtConfig {
    pub(crate) rules: JwtRules,
    /// A URL, or the path of a file.
    pub(crate) keys: String,
    pub(crate) refresh: Duration,
}

/// A `[[token]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    name: String,
    sha256: String,
    role: String,
    tenant: Option<String>,
    users: Option<Vec<String>>,
    rate: Option<RawCallRate>,
}

/// A `[[certificate]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    name: String,
    subject: String,
    role: String,
    tenant: Option<String>,
    users: Option<Vec<String>>,
    rate: Option<RawCallRate>,
}

/// The `[jwt]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJwt {
    issuer: String,
    audience: String,
    keys: String,
    refresh: Option<Span>,
    #[serde(default)]
    claims: RawClaims,
    rate: Option<RawCallRate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaims {
    role: Option<String>,
    tenant: Option<String>,
    users: Option<String>,
}

/// The `[tls]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_certificates: Option<RawClientCertificates>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawClientCertificates {
    Required,
    Optional,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCallRate {
    per_second: u32,
    burst: Option<u32>,
}

/// The tables as they stand in the file.
#[derive(Debug, Default)]
pub(super) struct RawAccess {
    pub(super) tokens: Vec<Spanned<RawToken>>,
    pub(super) certificates: Vec<Spanned<RawCertificate>>,
    pub(super) jwt: Option<Spanned<RawJwt>>,
    pub(super) tls: Option<Spanned<RawTls>>,
}

impl RawAccess {
    /// Who may call, or what is wrong and where.
    pub(super) fn check(self) -> Result<AccessConfig, Fault> {
        let jwt = self.jwt.into_iter().collect();
        let tls = each(self.tls.into_iter().collect(), RawTls::check)?.pop();
        let verified = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        if let Some(first) = self.certificates.first().filter(|_| !verified) {
            let reason = "nobody's certificate is verified; name who signs them in `tls.client_ca`";
            return Err(Fault::at(first.span().start, reason.to_owned()));
        }
        Ok(AccessConfig {
            tokens: each(self.tokens, RawToken::check)?,
            certificates: each(self.certificates, RawCertificate::check)?,
            jwt: each(jwt, RawJwt::check)?.pop(),
            tls,
        })
    }
}

impl RawToken {
    fn check(self) -> Result<(TokenHash, Grant), String> {
        let hash = self.sha256.parse();
        let hash = hash.map_err(|error| format!("`sha256` {error}"))?;
        let grant = grant(self.name, &self.role, self.tenant, self.users, self.rate)?;
        Ok((hash, grant))
    }
}

impl RawCertificate {
    fn check(self) -> Result<(String, Grant), String> {
        let grant = grant(self.name, &self.role, self.tenant, self.users, self.rate)?;
        Ok((self.subject, grant))
    }
}

impl RawJwt {
    fn check(self) -> Result<JwtConfig, String> {
        let mut rules = JwtRules::new(&self.issuer, &self.audience);
        let claims = self.claims;
        rules.role_claim = claims.role.unwrap_or(rules.role_claim);
        rules.tenant_required = claims.tenant.is_some();
        rules.tenant_claim = claims.tenant.unwrap_or(rules.tenant_claim);
        rules.users_claim = claims.users.unwrap_or(rules.users_claim);
        rules.rate = rate(self.rate)?;
        let refresh = self.refresh.map_or(USUAL_REFRESH, |span| span.0);
        if refresh < LEAST_REFRESH {
            return Err("`refresh` must be at least 100ms".to_owned());
        }
        Ok(JwtConfig {
            rules,
            keys: self.keys,
            refresh,
        })
    }
}

impl RawTls {
    fn check(self) -> Result<TlsFiles, String> {
        let rule = match self.client_certificates {
            Some(_) if self.client_ca.is_none() => {
                return Err("`client_certificates` needs `client_ca`, who signs them".to_owned());
            }
            Some(RawClientCertificates::Required) | None => ClientCertificates::Required,
            Some(RawClientCertificates::Optional) => ClientCertificates::Optional,
        };
        Ok(TlsFiles {
            certificate: self.certificate,
            key: self.key,
            client_ca: self.client_ca.map(|path| (path, rule)),
        })
    }
}

/// A grant that makes sense.
fn grant(
    name: String,
    role: &str,
    tenant: Option<String>,
    users: Option<Vec<String>>,
    limit: Option<RawCallRate>,
) -> Result<Grant, String> {
    let tenant = tenant.map(|name| TenantId::new(&name)).transpose();
    let patterns = users.map(|users| {
        let patterns = users.iter().map(|user| user.parse::<UserPattern>());
        patterns.collect::<Result<Vec<_>, _>>()
    });
    let grant = Grant {
        name,
        role: role.parse().map_err(|error| format!("{error}"))?,
        tenant: tenant.map_err(|error| format!("tenant: {error}"))?,
        users: patterns
            .transpose()
            .map_err(|error| format!("users: {error}"))?,
        rate: rate(limit)?,
    };
    let checked = Principal::new(grant.clone());
    checked.map_err(|error| error.to_string())?;
    Ok(grant)
}

fn rate(raw: Option<RawCallRate>) -> Result<Option<CallRate>, String> {
    let rate = raw.map(|raw| CallRate::new(raw.per_second, raw.burst.unwrap_or(raw.per_second)));
    rate.transpose().map_err(|error| format!("rate: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    const TEXT: &str = r#"
[[token]]
name = "ci"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
role = "client"
tenant = "acme"
users = ["ada", "bot-*"]
rate = { per_second = 100 }
[[certificate]]
name = "collector"
subject = "otel.example"
role = "telemetry"
[jwt]
issuer = "https://issuer.example"
audience = "foreshadow"
keys = "keys.json"
refresh = "1m"
claims = { role = "foreshadow_role" }
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
client_certificates = "optional"
"#;

    #[test]
    fn callers_and_certificates_are_read() {
        let access = parse(TEXT, Path::new("data")).expect("it is valid").access;
        assert_eq!(access.tokens[0].0, TokenHash::of("abc"));
        assert_eq!(access.tokens[0].1.users.as_ref().map(Vec::len), Some(2));
        assert_eq!(access.certificates[0].0, "otel.example");
        let jwt = access.jwt.expect("there are claims");
        assert_eq!(jwt.rules.role_claim, "foreshadow_role");
        assert_eq!(jwt.refresh, Duration::from_mins(1));
        let (_, rule) = access.tls.and_then(|tls| tls.client_ca).expect("it is set");
        assert_eq!(rule, ClientCertificates::Optional);
    }

    #[test]
    fn faults_in_them_have_their_line() {
        for (from, to, expected, line) in [
            ("\"ba78", "\"ba", "`sha256`", 2),
            ("\"client\"", "\"root\"", "`root`", 2),
            ("\"client\"", "\"operator\"", "only a client", 2),
            ("bot-*", "b*t", "users", 2),
            ("= 100", "= 0", "per_second", 2),
            ("\"telemetry\"", "\"\"", "role", 9),
            ("\"1m\"", "\"0s\"", "refresh", 13),
            ("client_ca", "#", "client_ca", 19),
        ] {
            let text = TEXT.replacen(from, to, 1);
            let fault = parse(&text, Path::new("data")).expect_err(to);
            assert!(fault.reason.contains(expected), "{}", fault.reason);
            let place = fault.offset.map(|at| super::super::line_of(&text, at));
            assert_eq!(place, Some(line), "{}", fault.reason);
        }
    }
}
