//! Whom a profile, a forecast or a measurement is about.

use foreshadow_api::v1::{get_resource_shadow_request, series};

/// A user or an application.
///
/// ```
/// use foreshadow_client::Entity;
///
/// assert_eq!(Entity::user("ada").id(), "ada");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A user, by its id.
    User(String),
    /// An application, by its id.
    Application(String),
}

impl Entity {
    /// A user.
    pub fn user(id: impl Into<String>) -> Self {
        Self::User(id.into())
    }

    /// An application.
    pub fn application(id: impl Into<String>) -> Self {
        Self::Application(id.into())
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Application(id) => id,
        }
    }
}

impl From<Entity> for series::Entity {
    fn from(entity: Entity) -> Self {
        match entity {
            Entity::User(id) => Self::UserId(id),
            Entity::Application(id) => Self::ApplicationId(id),
        }
    }
}

impl From<Entity> for get_resource_shadow_request::Entity {
    fn from(entity: Entity) -> Self {
        match entity {
            Entity::User(id) => Self::UserId(id),
            Entity::Application(id) => Self::ApplicationId(id),
        }
    }
}
