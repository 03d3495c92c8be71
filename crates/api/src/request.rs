//! Requests for a warm resource.

use std::{collections::BTreeSet, sync::Arc};

use foreshadow_allocator::{AllocationRequest, RequestError, Target};
use foreshadow_types::{
    AllocationId, ApplicationId, Bytes, FencingToken, IdError, Labels, PoolName, Requirements,
    Shape, TenantId, UserId, Vcpus,
};

use crate::{
    FieldError, duration_from_proto, timestamp_from_proto,
    v1::{self, allocate_request},
};

/// The tenant of requests that name none.
const DEFAULT_TENANT: &str = "default";
/// The most dependencies or labels of a request.
const MAX_REQUIREMENTS: usize = 64;
/// The longest dependency, label key or label value, in bytes.
const MAX_WORD_BYTES: usize = 256;
/// The most requests in one message of a stream.
pub const MAX_STREAM_BATCH: usize = 1024;

/// A name that may be empty for none.
///
/// # Errors
/// [`FieldError`] if it is too long or has a control character.
pub fn optional_name<T>(
    field: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, FieldError> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text)
        .map(Some)
        .map_err(|error| FieldError::new(field, error))
}

/// A name that must be there.
///
/// # Errors
/// [`FieldError`] if it is empty, too long or has a control character.
pub fn required_name<T>(
    field: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<T, FieldError> {
    parse(text).map_err(|error| FieldError::new(field, error))
}

/// The id of an allocation, such as `a-42`.
///
/// # Errors
/// [`FieldError`] if the text is not one.
pub fn allocation_id(text: &str) -> Result<AllocationId, FieldError> {
    text.parse()
        .map_err(|error: IdError| FieldError::new("allocation_id", error))
}

/// Checks the size of one message of a stream.
///
/// # Errors
/// [`FieldError`] if it holds more than [`MAX_STREAM_BATCH`] requests or releases.
pub fn check_stream_batch(batch: &v1::AllocateStreamRequest) -> Result<(), FieldError> {
    let counts = [
        ("requests", batch.requests.len()),
        ("releases", batch.releases.len()),
    ];
    let Some((field, count)) = counts.into_iter().find(|&(_, n)| n > MAX_STREAM_BATCH) else {
        return Ok(());
    };
    let problem = format!("{count} are too many for one message; send at most {MAX_STREAM_BATCH}");
    Err(FieldError::new(field, problem))
}

/// A lease to give back.
///
/// # Errors
/// [`FieldError`] if the id is none.
pub fn release_from_proto(
    wire: &v1::ReleaseRequest,
) -> Result<(AllocationId, FencingToken), FieldError> {
    let id = allocation_id(&wire.allocation_id)?;
    Ok((id, FencingToken(wire.fencing_token)))
}

impl TryFrom<v1::AllocateRequest> for AllocationRequest {
    type Error = FieldError;

    fn try_from(wire: v1::AllocateRequest) -> Result<Self, FieldError> {
        let tenant = optional_name("tenant_id", &wire.tenant_id, TenantId::new)?;
        let tenant = match tenant {
            Some(tenant) => tenant,
            None => required_name("tenant_id", DEFAULT_TENANT, TenantId::new)?,
        };
        let user = optional_name("user_id", &wire.user_id, UserId::new)?;
        let application =
            optional_name("application_id", &wire.application_id, ApplicationId::new)?;
        let availability = timestamp_from_proto("availability_time", wire.availability_time)?;
        AllocationRequest::builder(tenant, target(wire.target)?)
            .user(user)
            .application(application)
            .priority(wire.priority)
            .availability_time(availability)
            .max_wait(duration_from_proto("max_wait", wire.max_wait)?)
            .lease_duration(duration_from_proto("lease_duration", wire.lease_duration)?)
            .merge_key(key(&wire.merge_key))
            .idempotency_key(key(&wire.idempotency_key))
            .build()
            .map_err(|error| FieldError::new(field_of(&error), error))
    }
}

fn target(wire: Option<allocate_request::Target>) -> Result<Target, FieldError> {
    match wire {
        Some(allocate_request::Target::Pool(pool)) => {
            required_name("pool", &pool, PoolName::new).map(Target::Pool)
        }
        Some(allocate_request::Target::Requirements(wire)) => {
            let requirements = requirements(wire).map_err(|error| error.inside("requirements"))?;
            Ok(Target::Requirements(Arc::new(requirements)))
        }
        None => Err(FieldError::new(
            "pool",
            "neither pool nor requirements is given; name a pool or say what it must offer",
        )),
    }
}

fn requirements(wire: v1::Requirements) -> Result<Requirements, FieldError> {
    let vcpus = Vcpus::new(wire.vcpus).map_err(|error| FieldError::new("vcpus", error))?;
    for (field, count) in [
        ("dependencies", wire.dependencies.len()),
        (
            "preferences",
            wire.preferences
                .iter()
                .map(|preference| preference.labels.len().max(1))
                .sum(),
        ),
    ] {
        if count > MAX_REQUIREMENTS {
            let problem = format!("{count} are too many; give at most {MAX_REQUIREMENTS}");
            return Err(FieldError::new(field, problem));
        }
    }
    for dependency in &wire.dependencies {
        check_word("dependencies", dependency)?;
    }
    check_labels("labels", &wire.labels)?;
    for preference in &wire.preferences {
        check_labels("preferences", &preference.labels)?;
    }
    Ok(Requirements {
        shape: Shape {
            vcpus,
            memory: Bytes(wire.memory_bytes),
            storage_iops: wire.storage_iops,
            network_mbps: wire.network_mbps,
            gpus: wire.gpus,
        },
        dependencies: wire.dependencies.into_iter().collect::<BTreeSet<_>>(),
        labels: wire.labels,
        preferences: wire.preferences.into_iter().map(|one| one.labels).collect(),
    })
}

fn check_labels(field: &str, labels: &Labels) -> Result<(), FieldError> {
    if labels.len() > MAX_REQUIREMENTS {
        let problem = format!(
            "{} are too many; give at most {MAX_REQUIREMENTS}",
            labels.len()
        );
        return Err(FieldError::new(field, problem));
    }
    for (key, value) in labels {
        check_word(field, key)?;
        check_word(field, value)?;
    }
    Ok(())
}

fn check_word(field: &str, word: &str) -> Result<(), FieldError> {
    if (1..=MAX_WORD_BYTES).contains(&word.len()) && !word.chars().any(char::is_control) {
        return Ok(());
    }
    let problem = format!("{word:?} is not 1 to {MAX_WORD_BYTES} bytes without control characters");
    Err(FieldError::new(field, problem))
}

fn key(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn field_of(error: &RequestError) -> &'static str {
    match error {
        RequestError::BadKey { field, .. } | RequestError::TooLong { field } => field,
        RequestError::EmptyLease => "lease_duration",
    }
}

#[cfg(test)]
mod tests {
    use pbjson_types::{Duration, Timestamp};

    use super::*;

    fn notebook() -> v1::AllocateRequest {
        v1::AllocateRequest {
            target: Some(allocate_request::Target::Pool("notebook".to_owned())),
            ..v1::AllocateRequest::default()
        }
    }

    fn requiring(requirements: v1::Requirements) -> v1::AllocateRequest {
        let target = Some(allocate_request::Target::Requirements(requirements));
        v1::AllocateRequest {
            target,
            ..v1::AllocateRequest::default()
        }
    }

    fn seconds(seconds: i64) -> Duration {
        Duration { seconds, nanos: 0 }
    }

    #[test]
    fn a_request_keeps_what_it_says() {
        let request = AllocationRequest::try_from(v1::AllocateRequest {
            user_id: "ada".to_owned(),
            priority: -3,
            max_wait: Some(seconds(0)),
            availability_time: Some(Timestamp {
                seconds: 60,
                nanos: 0,
            }),
            merge_key: "course".to_owned(),
            ..notebook()
        })
        .unwrap();
        assert_eq!(request.tenant().as_str(), "default");
        assert_eq!(request.user().unwrap().as_str(), "ada");
        assert_eq!(request.priority(), -3);
        assert_eq!(request.max_wait(), Some(std::time::Duration::ZERO));
        assert_eq!(request.availability_time().unwrap().as_millis(), 60_000);
        assert_eq!(request.merge_key().unwrap().as_ref(), "course");
        assert!(request.idempotency_key().is_none());
    }

    #[test]
    fn every_bad_field_is_named() {
        let long = "x".repeat(300);
        let none = v1::AllocateRequest {
            target: None,
            ..notebook()
        };
        let negative_wait = v1::AllocateRequest {
            max_wait: Some(seconds(-1)),
            ..notebook()
        };
        let negative_lease = v1::AllocateRequest {
            lease_duration: Some(seconds(-1)),
            ..notebook()
        };
        let empty_lease = v1::AllocateRequest {
            lease_duration: Some(seconds(0)),
            ..notebook()
        };
        let endless = v1::AllocateRequest {
            max_wait: Some(seconds(400 * 86_400)),
            ..notebook()
        };
        let long_user = v1::AllocateRequest {
            user_id: long.clone(),
            ..notebook()
        };
        let control = v1::AllocateRequest {
            application_id: "a\nb".to_owned(),
            ..notebook()
        };
        let long_key = v1::AllocateRequest {
            merge_key: long.clone(),
            ..notebook()
        };
        let bad_time = v1::AllocateRequest {
            availability_time: Some(Timestamp {
                seconds: 0,
                nanos: -1,
            }),
            ..notebook()
        };
        let no_cpus = requiring(v1::Requirements {
            vcpus: f64::NAN,
            ..v1::Requirements::default()
        });
        let bad_label = requiring(v1::Requirements {
            labels: [("zone".to_owned(), String::new())].into(),
            ..v1::Requirements::default()
        });
        let many = requiring(v1::Requirements {
            dependencies: (0..99).map(|i| i.to_string()).collect(),
            ..v1::Requirements::default()
        });
        for (wire, field) in [
            (none, "pool"),
            (negative_wait, "max_wait"),
            (negative_lease, "lease_duration"),
            (empty_lease, "lease_duration"),
            (endless, "max_wait"),
            (long_user, "user_id"),
            (control, "application_id"),
            (long_key, "merge_key"),
            (bad_time, "availability_time"),
            (no_cpus, "requirements.vcpus"),
            (bad_label, "requirements.labels"),
            (many, "requirements.dependencies"),
        ] {
            let error = AllocationRequest::try_from(wire).unwrap_err();
            assert_eq!(error.field, field, "{error}");
        }
    }
}
