//! The overrides as a document.

use foreshadow_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Unreadable, Versioned, entity, pool};
use crate::config::{CapacityOverride, OverrideSubject};

#[derive(Serialize, Deserialize)]
struct OverridesRecord {
    version: u64,
    overrides: Vec<OverrideRecord>,
}

#[derive(Serialize, Deserialize)]
struct OverrideRecord {
    name: String,
    pool: String,
    entity: Option<String>,
    instances: u32,
    until_ms: Option<i64>,
    by: String,
    reason: String,
}

pub(crate) fn write_overrides(
    overrides: &Versioned<Vec<CapacityOverride>>,
) -> Result<Vec<u8>, Unreadable> {
    let records = overrides.value.iter().map(|one| OverrideRecord {
        name: one.name.clone(),
        pool: one.pool.as_str().to_owned(),
        entity: match &one.subject {
            OverrideSubject::Pool => None,
            OverrideSubject::Entity(entity) => Some(entity.as_str().to_owned()),
        },
        instances: one.instances,
        until_ms: one.until.map(Timestamp::as_millis),
        by: one.by.clone(),
        reason: one.reason.clone(),
    });
    let record = OverridesRecord {
        version: overrides.version,
        overrides: records.collect(),
    };
    serde_json::to_vec(&record).map_err(|error| error.to_string())
}

pub(crate) fn read_overrides(body: &[u8]) -> Result<Versioned<Vec<CapacityOverride>>, Unreadable> {
    let record: OverridesRecord =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let overrides = record.overrides.into_iter().map(|one| {
        let subject = match one.entity {
            Some(name) => OverrideSubject::Entity(entity(&name)?),
            None => OverrideSubject::Pool,
        };
        Ok::<_, Unreadable>(CapacityOverride {
            name: one.name,
            pool: pool(&one.pool)?,
            subject,
            instances: one.instances,
            until: one.until_ms.map(Timestamp::from_millis),
            by: one.by,
            reason: one.reason,
        })
    });
    Ok(Versioned {
        version: record.version,
        value: overrides.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use foreshadow_types::{EntityId, PoolName};

    use super::*;

    #[test]
    fn overrides_read_back() {
        let value = vec![CapacityOverride {
            name: "exam".to_owned(),
            pool: PoolName::new("notebook").unwrap(),
            subject: OverrideSubject::Entity(EntityId::new("ada").unwrap()),
            instances: 3,
            until: Some(Timestamp::from_millis(5)),
            by: "ops".to_owned(),
            reason: "an exam".to_owned(),
        }];
        let overrides = Versioned { version: 1, value };
        assert_eq!(
            read_overrides(&write_overrides(&overrides).unwrap()),
            Ok(overrides)
        );
    }
}
