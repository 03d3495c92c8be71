//! What a caller asks for.

use std::{sync::Arc, time::Duration};

use foreshadow_types::{
    ApplicationId, EntityId, PoolName, Requirements, TenantId, Timestamp, UserId,
};
use thiserror::Error;

/// The longest merge or idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;
/// The longest lease and the longest wait that can be asked for.
pub const MAX_SPAN: Duration = Duration::from_hours(366 * 24);

/// Where a request may be served.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// In this pool and no other.
    Pool(PoolName),
    /// In any pool that meets the requirements, best fit first.
    Requirements(Arc<Requirements>),
}

/// Why a request was refused before any pool was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A key is empty, too long or has a control character.
    #[error(
        "{field} must be 1 to {MAX_KEY_BYTES} bytes without control characters; it has {bytes} bytes"
    )]
    BadKey {
        /// `merge_key` or `idempotency_key`.
        field: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// A duration is longer than [`MAX_SPAN`].
    #[error("{field} is longer than 366 days")]
    TooLong {
        /// `max_wait` or `lease_duration`.
        field: &'static str,
    },
    /// The lease would last no time at all.
    #[error("lease_duration is zero; leave it out for the pool's default")]
    EmptyLease,
}

/// A checked request for one instance, or a share of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllocationRequest {
    tenant: TenantId,
    target: Target,
    user: Option<UserId>,
    application: Option<ApplicationId>,
    priority: i32,
    availability_time: Option<Timestamp>,
    max_wait: Option<Duration>,
    lease_duration: Option<Duration>,
    merge_key: Option<Arc<str>>,
    idempotency_key: Option<Arc<str>>,
}

impl AllocationRequest {
    /// Starts a request of `tenant` for `target`; everything else has a default.
    pub fn builder(tenant: TenantId, target: Target) -> AllocationRequestBuilder {
        AllocationRequestBuilder {
            request: Self {
                tenant,
                target,
                user: None,
                application: None,
                priority: 0,
                availability_time: None,
                max_wait: None,
                lease_duration: None,
                merge_key: None,
                idempotency_key: None,
            },
        }
    }

    /// Who pays.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Where it may be served.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Who asks.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// What will run.
    pub fn application(&self) -> Option<&ApplicationId> {
        self.application.as_ref()
    }

    /// Higher is served first; 0 is normal.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// When the instance is needed; `None` is at once.
    pub fn availability_time(&self) -> Option<Timestamp> {
        self.availability_time
    }

    /// How long it may wait after its availability time; `None` takes the pool's default, zero
    /// means a warm instance or none.
    pub fn max_wait(&self) -> Option<Duration> {
        self.max_wait
    }

    /// How long the lease lasts unless renewed; `None` takes the pool's default.
    pub fn lease_duration(&self) -> Option<Duration> {
        self.lease_duration
    }

    /// Requests of one tenant with the same key share one instance.
    pub fn merge_key(&self) -> Option<&Arc<str>> {
        self.merge_key.as_ref()
    }

    /// Requests of one tenant with the same key are one request.
    pub fn idempotency_key(&self) -> Option<&Arc<str>> {
        self.idempotency_key.as_ref()
    }

    /// The entities for whom an instance may have been reserved: the user, then the application.
    pub fn entities(&self) -> impl Iterator<Item = EntityId> + '_ {
        let user = self.user.as_ref().map(EntityId::from);
        let application = self.application.as_ref().map(EntityId::from);
        user.into_iter().chain(application)
    }
}

/// Collects the optional parts of an [`AllocationRequest`].
#[derive(Debug, Clone)]
#[must_use]
pub struct AllocationRequestBuilder {
    request: AllocationRequest,
}

impl AllocationRequestBuilder {
    /// Who asks.
    pub fn user(mut self, user: impl Into<Option<UserId>>) -> Self {
        self.request.user = user.into();
        self
    }

    /// What will run.
    pub fn application(mut self, application: impl Into<Option<ApplicationId>>) -> Self {
        self.request.application = application.into();
        self
    }

    /// Higher is served first.
    pub fn priority(mut self, priority: i32) -> Self {
        self.request.priority = priority;
        self
    }

    /// When the instance is needed.
    pub fn availability_time(mut self, at: impl Into<Option<Timestamp>>) -> Self {
        self.request.availability_time = at.into();
        self
    }

    /// How long it may wait.
    pub fn max_wait(mut self, max_wait: impl Into<Option<Duration>>) -> Self {
        self.request.max_wait = max_wait.into();
        self
    }

    /// How long the lease lasts.
    pub fn lease_duration(mut self, duration: impl Into<Option<Duration>>) -> Self {
        self.request.lease_duration = duration.into();
        self
    }

    /// With whom the instance may be shared.
    pub fn merge_key<'a>(mut self, key: impl Into<Option<&'a str>>) -> Self {
        self.request.merge_key = key.into().map(Arc::from);
        self
    }

    /// What makes a repeated call the same call.
    pub fn idempotency_key<'a>(mut self, key: impl Into<Option<&'a str>>) -> Self {
        self.request.idempotency_key = key.into().map(Arc::from);
        self
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// [`RequestError`] names the field at fault.
    pub fn build(self) -> Result<AllocationRequest, RequestError> {
        let request = self.request;
        check_key("merge_key", request.merge_key.as_deref())?;
        check_key("idempotency_key", request.idempotency_key.as_deref())?;
        check_span("max_wait", request.max_wait)?;
        check_span("lease_duration", request.lease_duration)?;
        if request.lease_duration == Some(Duration::ZERO) {
            return Err(RequestError::EmptyLease);
        }
        Ok(request)
    }
}

fn check_key(field: &'static str, key: Option<&str>) -> Result<(), RequestError> {
    let Some(key) = key else { return Ok(()) };
    let bytes = key.len();
    if bytes == 0 || bytes > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        return Err(RequestError::BadKey { field, bytes });
    }
    Ok(())
}

fn check_span(field: &'static str, span: Option<Duration>) -> Result<(), RequestError> {
    if span.is_some_and(|span| span > MAX_SPAN) {
        return Err(RequestError::TooLong { field });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> AllocationRequestBuilder {
        AllocationRequest::builder(
            TenantId::new("acme").unwrap(),
            Target::Pool(PoolName::new("notebook").unwrap()),
        )
    }

    #[test]
    fn a_request_is_checked_once_when_it_is_built() {
        assert!(builder().build().is_ok());
        assert_eq!(
            builder().merge_key("").build(),
            Err(RequestError::BadKey {
                field: "merge_key",
                bytes: 0
            })
        );
        assert_eq!(
            builder().lease_duration(Duration::ZERO).build(),
            Err(RequestError::EmptyLease)
        );
        assert_eq!(
            builder().max_wait(MAX_SPAN * 2).build(),
            Err(RequestError::TooLong { field: "max_wait" })
        );
    }
}
