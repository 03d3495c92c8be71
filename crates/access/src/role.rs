//! Roles and what each permits.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// What a caller is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Asks for resources, of one tenant where it is bound to one.
    Client,
    /// Sends telemetry and scrapes metrics.
    Telemetry,
    /// Looks after pools: reads everything, overrides, drains, chooses models.
    Operator,
    /// Everything: configuration, quotas, deletion of users.
    Admin,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// To claim resources, hold them, and ask for forecasts and shadows.
    Claim,
    /// To send telemetry.
    Report,
    /// To read metrics.
    Scrape,
    /// To read how the service works: pools, plans, models, configuration.
    Read,
    /// To change what the service does for a while: overrides, drains, the model in use.
    Operate,
    /// To change what the service is: configuration, quotas, deletion of users; to read the audit log.
    Administer,
}

/// A role that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no role; give client, telemetry, operator or admin")]
pub struct RoleError(String);

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Client, Self::Telemetry, Self::Operator, Self::Admin];

    /// Whether the role permits it.
    pub fn may(self, permission: Permission) -> bool {
        use Permission::{Administer, Claim, Operate, Read, Report, Scrape};
        match self {
            Self::Client => permission == Claim,
            Self::Telemetry => matches!(permission, Report | Scrape),
            Self::Operator => matches!(permission, Claim | Scrape | Read | Operate),
            Self::Admin => matches!(
                permission,
                Claim | Report | Scrape | Read | Operate | Administer
            ),
        }
    }

    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Telemetry => "telemetry",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| RoleError(text.to_owned()))
    }
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 6] = [
        Self::Claim,
        Self::Report,
        Self::Scrape,
        Self::Read,
        Self::Operate,
        Self::Administer,
    ];

    /// The roles that have it, for messages: "operator or admin".
    pub fn holders(self) -> String {
        let holders = Role::ALL.into_iter().filter(|role| role.may(self));
        holders.map(Role::name).collect::<Vec<_>>().join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_permission_has_the_holders_that_the_documentation_lists() {
        let holders = Permission::ALL.map(Permission::holders);
        assert_eq!(
            holders,
            [
                "client or operator or admin",
                "telemetry or admin",
                "telemetry or operator or admin",
                "operator or admin",
                "operator or admin",
                "admin",
            ]
        );
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let unknown = "root".parse::<Role>().unwrap_err().to_string();
        assert!(unknown.contains("`root`") && unknown.contains("operator"));
    }
}
