//! Whoever calls, once known.

use std::{str::FromStr, sync::Arc, time::Duration};

use foreshadow_types::{IdError, TenantId, Timestamp, UserId};
use thiserror::Error;

use crate::{
    rate::{CallRate, Meter},
    role::{Permission, Role},
};

/// What somebody is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// How the caller is called in logs and in the audit log.
    pub name: String,
    /// What it is there for.
    pub role: Role,
    /// The one tenant that it acts for.
    pub tenant: Option<TenantId>,
    /// The users that it acts for, and whose shadows it may read.
    pub users: Option<Vec<UserPattern>>,
    /// How often it may call.
    pub rate: Option<CallRate>,
}

/// Why a grant makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    /// It cannot be written down.
    #[error("`name`: {0}")]
    Name(IdError),
    /// What is shown is another's already.
    #[error("the same token or certificate is `{name}`'s already; give each caller one of its own")]
    Twice {
        /// Whose.
        name: String,
    },
    /// Only clients act for tenants.
    #[error("`{name}`: only a client can be bound to a tenant or to users, not {role}")]
    Bound {
        /// The grant's name.
        name: String,
        /// Its role.
        role: Role,
    },
}

/// A user, or with a `*` at the end all whose names begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPattern {
    start: String,
    open: bool,
}

/// A pattern that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no user; give a name, or the beginning of names with one `*` at its end")]
pub struct UserPatternError(String);

/// What belongs to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` does not act for {what}")]
pub struct NotYours {
    name: Arc<str>,
    what: String,
}

/// Whoever calls.
#[derive(Debug)]
pub struct Principal {
    name: Arc<str>,
    role: Role,
    tenant: Option<TenantId>,
    users: Option<Vec<UserPattern>>,
    meter: Option<Meter>,
}

impl FromStr for UserPattern {
    type Err = UserPatternError;

    fn from_str(text: &str) -> Result<Self, UserPatternError> {
        let open = text.ends_with('*');
        let start = text.strip_suffix('*').unwrap_or(text);
        if start.contains('*') || text.is_empty() {
            return Err(UserPatternError(text.to_owned()));
        }
        Ok(Self {
            start: start.to_owned(),
            open,
        })
    }
}

impl UserPattern {
    fn covers(&self, user: &str) -> bool {
        if self.open {
            user.starts_with(&self.start)
        } else {
            user == self.start
        }
    }
}

impl Principal {
    /// Whoever has this grant.
    ///
    /// # Errors
    /// [`GrantError`] if the grant contradicts itself.
    pub fn new(grant: Grant) -> Result<Self, GrantError> {
        // A name stands in logs: it has the form of every other name.
        UserId::new(&grant.name).map_err(GrantError::Name)?;
        let bound = grant.tenant.is_some() || grant.users.is_some();
        if bound && grant.role != Role::Client {
            let (name, role) = (grant.name, grant.role);
            return Err(GrantError::Bound { name, role });
        }
        Ok(Self {
            name: grant.name.into(),
            role: grant.role,
            tenant: grant.tenant,
            users: grant.users,
            meter: grant.rate.map(Meter::new),
        })
    }

    /// Somebody who may do everything.
    pub fn admin(name: &str) -> Self {
        Self {
            name: name.into(),
            role: Role::Admin,
            tenant: None,
            users: None,
            meter: None,
        }
    }

    /// How the caller is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the caller is there for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the caller may do this at all.
    pub fn may(&self, permission: Permission) -> bool {
        self.role.may(permission)
    }

    /// Whether the caller acts for one tenant or some users only.
    pub fn is_bound(&self) -> bool {
        self.tenant.is_some() || self.users.is_some()
    }

    /// The tenant that the caller is bound to.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The tenant that a call is made for: the one asked for, else the caller's own.
    ///
    /// # Errors
    /// [`NotYours`] if another tenant is asked for.
    pub fn acts_for(&self, asked: &str) -> Result<Option<TenantId>, NotYours> {
        match &self.tenant {
            Some(own) if asked.is_empty() || asked == own.as_str() => Ok(Some(own.clone())),
            Some(_) => Err(self.not_yours(format!("tenant `{asked}`"))),
            None => Ok(None),
        }
    }

    /// Whether what is a tenant's and a user's is the caller's too.
    pub fn owns(&self, tenant: &TenantId, user: &str) -> bool {
        self.tenant.as_ref().is_none_or(|own| own == tenant) && self.covers(user)
    }

    /// Lets the caller act for a user.
    ///
    /// # Errors
    /// [`NotYours`] if the caller is bound to other users.
    pub fn check_user(&self, user: &str) -> Result<(), NotYours> {
        if self.covers(user) {
            Ok(())
        } else {
            Err(self.not_yours(format!("user `{user}`")))
        }
    }

    /// Lets the caller read what is kept of an entity: a caller that is bound to a tenant must be
    /// bound to users too, since users are known to no tenant.
    ///
    /// # Errors
    /// [`NotYours`] if the caller is bound and the entity is not among its users.
    pub fn check_shadow(&self, entity: &str) -> Result<(), NotYours> {
        let listed = self.users.is_some() && self.covers(entity);
        if listed || !self.is_bound() {
            Ok(())
        } else {
            Err(self.not_yours(format!("`{entity}`; list it in the token's `users`")))
        }
    }

    /// Lets a caller pass that is not bound.
    ///
    /// # Errors
    /// [`NotYours`] that names what all tenants share.
    pub fn check_unbound(&self, what: &str) -> Result<(), NotYours> {
        if self.is_bound() {
            Err(self.not_yours(format!("all tenants, and {what}")))
        } else {
            Ok(())
        }
    }

    /// Counts a call against the caller's rate.
    ///
    /// # Errors
    /// The delay after which the next call may come.
    pub fn take_call(&self, now: Timestamp) -> Result<(), Duration> {
        self.meter.as_ref().map_or(Ok(()), |meter| meter.take(now))
    }

    fn covers(&self, user: &str) -> bool {
        let covering = |users: &Vec<UserPattern>| users.iter().any(|one| one.covers(user));
        self.users.as_ref().is_none_or(covering)
    }

    fn not_yours(&self, what: String) -> NotYours {
        NotYours {
            name: Arc::clone(&self.name),
            what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn bound() -> Grant {
        Grant {
            name: "ci".to_owned(),
            role: Role::Client,
            tenant: Some(tenant("acme")),
            users: Some(vec!["ada".parse().unwrap(), "bot-*".parse().unwrap()]),
            rate: None,
        }
    }

    #[test]
    fn a_bound_client_acts_for_its_own_only() {
        let client = Principal::new(bound()).unwrap();
        assert_eq!(client.acts_for(""), Ok(Some(tenant("acme"))));
        assert_eq!(client.acts_for("acme"), Ok(Some(tenant("acme"))));
        let other = client.acts_for("umbra").unwrap_err().to_string();
        assert_eq!(other, "`ci` does not act for tenant `umbra`");
        assert!(client.owns(&tenant("acme"), "bot-7"));
        assert!(!client.owns(&tenant("acme"), "bob"));
        assert!(!client.owns(&tenant("umbra"), "ada"));
        assert!(client.check_user("ada").is_ok() && client.check_user("adam").is_err());
        assert!(client.check_unbound("the demand of a pool").is_err());
    }

    #[test]
    fn a_tenant_alone_does_not_open_shadows() {
        let mut grant = bound();
        assert!(
            Principal::new(grant.clone())
                .unwrap()
                .check_shadow("ada")
                .is_ok()
        );
        grant.users = None;
        let client = Principal::new(grant.clone()).unwrap();
        assert!(client.check_user("anybody").is_ok());
        assert!(client.check_shadow("ada").is_err());
        grant.tenant = None;
        assert!(Principal::new(grant).unwrap().check_shadow("ada").is_ok());
    }

    #[test]
    fn only_clients_are_bound() {
        for role in [Role::Telemetry, Role::Operator, Role::Admin] {
            let error = Principal::new(Grant { role, ..bound() }).unwrap_err();
            assert!(matches!(error, GrantError::Bound { .. }), "{role}");
        }
        for name in ["", "a\nforged line"] {
            let name = name.to_owned();
            let error = Principal::new(Grant { name, ..bound() }).unwrap_err();
            assert!(matches!(error, GrantError::Name(_)), "{error}");
        }
    }

    #[test]
    fn a_pattern_has_its_star_at_the_end() {
        assert!("*".parse::<UserPattern>().unwrap().covers("anybody"));
        for wrong in ["", "a*b", "**"] {
            assert!(wrong.parse::<UserPattern>().is_err(), "{wrong}");
        }
    }
}
