//! Names and numbers that identify things.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// The longest name accepted, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// The name is empty.
    #[error("{kind} is empty")]
    Empty {
        /// Which kind of name.
        kind: &'static str,
    },
    /// The name is longer than 256 bytes.
    #[error("{kind} is {bytes} bytes long; at most 256 are allowed")]
    TooLong {
        /// Which kind of name.
        kind: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The name has a control character.
    #[error("{kind} {name:?} contains a control character")]
    ControlCharacter {
        /// Which kind of name.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The text of a numbered id does not have its form.
    #[error("`{text}` is not {kind}; it looks like `{prefix}42`")]
    NotANumber {
        /// Which kind of id, with its article.
        kind: &'static str,
        /// The prefix of the kind.
        prefix: &'static str,
        /// The text.
        text: String,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and keeps a name.
            ///
            /// # Errors
            /// [`IdError`] if it is empty, longer than 256 bytes or has a control character.
            pub fn new(name: &str) -> Result<Self, IdError> {
                check_name($kind, name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

fn check_name(kind: &'static str, name: &str) -> Result<(), IdError> {
    if name.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(IdError::TooLong {
            kind,
            bytes: name.len(),
        });
    }
    if name.chars().any(char::is_control) {
        return Err(IdError::ControlCharacter {
            kind,
            name: name.to_owned(),
        });
    }
    Ok(())
}

name!(
    /// Who pays and who is isolated from whom.
    TenantId,
    "tenant_id"
);
name!(
    /// A person or a service account.
    UserId,
    "user_id"
);
name!(
    /// What the resource runs.
    ApplicationId,
    "application_id"
);
name!(
    /// A kind of interchangeable resource.
    PoolName,
    "pool"
);
name!(
    /// What requests have in common that are one piece of work, and so share an instance.
    MergeKey,
    "merge_key"
);
name!(
    /// A user or an application: whatever has a resource shadow.
    EntityId,
    "entity_id"
);

impl From<&UserId> for EntityId {
    fn from(user: &UserId) -> Self {
        Self(user.0.clone())
    }
}

impl From<&ApplicationId> for EntityId {
    fn from(application: &ApplicationId) -> Self {
        Self(application.0.clone())
    }
}

/// Requests for a pool are a series too, of an entity with the pool's name.
impl From<&PoolName> for EntityId {
    fn from(pool: &PoolName) -> Self {
        Self(pool.0.clone())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u64);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix).and_then(|digits| digits.parse().ok()).map(Self).ok_or_else(
                    || IdError::NotANumber { kind: $kind, prefix: $prefix, text: text.to_owned() },
                )
            }
        }
    };
}

number!(
    /// One resource of a pool, minted by the allocator before the provider is asked.
    InstanceId,
    "an instance id",
    "i-"
);
number!(
    /// One request's hold on an instance, or its place in the queue.
    AllocationId,
    "an allocation id",
    "a-"
);
number!(
    /// The hold of one or more merged allocations on one instance.
    LeaseId,
    "a lease id",
    "l-"
);

/// Rises with every lease of an instance; a holder with a lower one has lost the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_once_at_the_edge() {
        assert_eq!(UserId::new("ada").unwrap().as_str(), "ada");
        assert_eq!(UserId::new(""), Err(IdError::Empty { kind: "user_id" }));
        assert!(matches!(
            PoolName::new("a\nb"),
            Err(IdError::ControlCharacter { .. })
        ));
        assert!(matches!(
            PoolName::new(&"x".repeat(257)),
            Err(IdError::TooLong { bytes: 257, .. })
        ));
    }

    #[test]
    fn a_numbered_id_reads_back() {
        let id = AllocationId(42);
        assert_eq!(id.to_string(), "a-42");
        assert_eq!("a-42".parse(), Ok(id));
        assert!("i-42".parse::<AllocationId>().is_err());
    }
}
