//! Overrides.

use foreshadow_api::{
    FieldError, optional_name, required_name, timestamp_from_proto, timestamp_to_proto,
    v1::{self, set_override_request::Change},
};
use foreshadow_engine::{
    OverrideChange,
    config::{CapacityOverride, OverrideSubject},
};
use foreshadow_types::{EntityId, PoolName};

/// The longest name or reason, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

pub(crate) fn override_change_from_proto(
    wire: v1::SetOverrideRequest,
) -> Result<OverrideChange, FieldError> {
    match wire.change {
        Some(Change::Set(set)) => {
            let set = capacity_override(set).map_err(|error| error.inside("set"))?;
            Ok(OverrideChange::Set(set))
        }
        Some(Change::Extend(extend)) => Ok(OverrideChange::Extend {
            name: text("extend.name", extend.name)?,
            until: timestamp_from_proto("extend.expires_at", extend.expires_at)?,
        }),
        Some(Change::Clear(name)) => Ok(OverrideChange::Clear {
            name: text("clear", name)?,
        }),
        None => {
            let problem = "is missing; give one of set, extend and clear";
            Err(FieldError::new("set", problem))
        }
    }
}

fn capacity_override(wire: v1::Override) -> Result<CapacityOverride, FieldError> {
    let pool = required_name("pool", &wire.pool, PoolName::new)?;
    let entity = optional_name("entity_id", &wire.entity_id, EntityId::new)?;
    let usual_name = match &entity {
        Some(entity) => format!("{pool}/{entity}"),
        None => pool.to_string(),
    };
    let name = if wire.name.is_empty() {
        usual_name
    } else {
        text("name", wire.name)?
    };
    if wire.reason.len() > MAX_TEXT_BYTES {
        let problem = format!("is longer than {MAX_TEXT_BYTES} bytes; say it in fewer words");
        return Err(FieldError::new("reason", problem));
    }
    Ok(CapacityOverride {
        name,
        pool,
        subject: entity.map_or(OverrideSubject::Pool, OverrideSubject::Entity),
        instances: wire.count,
        until: timestamp_from_proto("expires_at", wire.expires_at)?,
        by: wire.set_by,
        reason: wire.reason,
    })
}

fn text(field: &str, text: String) -> Result<String, FieldError> {
    if (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    let problem = format!("{text:?} is not 1 to {MAX_TEXT_BYTES} bytes without control characters");
    Err(FieldError::new(field, problem))
}

pub(crate) fn overrides_to_proto(overrides: &[CapacityOverride]) -> Vec<v1::Override> {
    overrides
        .iter()
        .map(|set| v1::Override {
            name: set.name.clone(),
            pool: set.pool.to_string(),
            entity_id: match &set.subject {
                OverrideSubject::Pool => String::new(),
                OverrideSubject::Entity(entity) => entity.to_string(),
            },
            count: set.instances,
            expires_at: set.until.map(timestamp_to_proto),
            reason: set.reason.clone(),
            set_by: set.by.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: Option<Change>) -> v1::SetOverrideRequest {
        v1::SetOverrideRequest {
            change,
            etag: String::new(),
        }
    }

    #[test]
    fn an_override_names_itself_after_its_pool_and_entity() {
        let set = v1::Override {
            pool: "notebook".to_owned(),
            entity_id: "ada".to_owned(),
            count: 3,
            ..v1::Override::default()
        };
        let change = override_change_from_proto(request(Some(Change::Set(set)))).unwrap();
        let OverrideChange::Set(set) = change else {
            panic!("{change:?}")
        };
        assert_eq!((set.name.as_str(), set.instances), ("notebook/ada", 3));
    }

    #[test]
    fn what_is_missing_is_named() {
        let no_pool = Some(Change::Set(v1::Override::default()));
        for (change, field) in [
            (None, "set"),
            (Some(Change::Clear(String::new())), "clear"),
            (no_pool, "set.pool"),
        ] {
            assert_eq!(
                override_change_from_proto(request(change))
                    .unwrap_err()
                    .field,
                field
            );
        }
    }
}
