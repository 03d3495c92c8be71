//! What is asked for.

use std::time::{Duration, SystemTime};

use foreshadow_api::{
    duration_to_proto,
    v1::{AllocateRequest, allocate_request::Target},
};

use crate::{Requirements, chance, time::to_wire};

/// A request for an instance: of a pool by name, or of any pool that meets [`Requirements`].
///
/// A name alone is a claim already: `client.lease("notebook")`. A claim can be kept and made again;
/// each time it is another request, unless it has an idempotency key.
///
/// ```
/// use std::time::Duration;
/// use foreshadow_client::{Claim, Requirements};
///
/// let notebook = Claim::pool("notebook")
///     .user("ada")
///     .application("course-7")
///     .lease_duration(Duration::from_secs(600));
/// let anywhere = Claim::needing(Requirements::new().vcpus(2.0).label("zone", "a"))
///     .user("ada")
///     .max_wait(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a claim does nothing until a client makes it"]
pub struct Claim(AllocateRequest);

impl Claim {
    /// An instance of this pool.
    pub fn pool(name: impl Into<String>) -> Self {
        Self::of(Target::Pool(name.into()))
    }

    /// An instance of any pool that meets the requirements.
    pub fn needing(requirements: Requirements) -> Self {
        Self::of(Target::Requirements(requirements.into_wire()))
    }

    fn of(target: Target) -> Self {
        Self(AllocateRequest {
            target: Some(target),
            ..AllocateRequest::default()
        })
    }

    /// Who asks: what the server learns from, reserves for and shows.
    pub fn user(mut self, id: impl Into<String>) -> Self {
        self.0.user_id = id.into();
        self
    }

    /// What the instance will run.
    pub fn application(mut self, id: impl Into<String>) -> Self {
        self.0.application_id = id.into();
        self
    }

    /// Who pays; `default` unless given, or the one that the token belongs to.
    pub fn tenant(mut self, id: impl Into<String>) -> Self {
        self.0.tenant_id = id.into();
        self
    }

    /// A higher one is served first; 0 unless given.
    pub fn priority(mut self, priority: i32) -> Self {
        self.0.priority = priority;
        self
    }

    /// When it is needed, if not now: it is booked for that time, or queued for it. A booking whose
    /// time has come must be taken up within the pool's `booking_grace`, which waiting for it does.
    pub fn available_at(mut self, time: SystemTime) -> Self {
        self.0.availability_time = Some(to_wire(time));
        self
    }

    /// How long it may wait after its availability time; the pool's default unless given.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.0.max_wait = Some(duration_to_proto(wait));
        self
    }

    /// A warm instance or none: the same as a `max_wait` of zero. Where there is none, the refusal
    /// ([`Error::Exhausted`](crate::Error::Exhausted)) is the answer and is not tried again.
    pub fn warm_only(self) -> Self {
        self.max_wait(Duration::ZERO)
    }

    /// How long the lease lasts from each renewal; the pool's default unless given. It is how long an
    /// instance stays taken after this program has died. Give it a few seconds at the least: its end
    /// is reckoned up to a second early.
    pub fn lease_duration(mut self, duration: Duration) -> Self {
        self.0.lease_duration = Some(duration_to_proto(duration));
        self
    }

    /// Claims of a tenant with the same key share one instance.
    pub fn merge_key(mut self, key: impl Into<String>) -> Self {
        self.0.merge_key = key.into();
        self
    }

    /// The same key with the same claim gives the same allocation for a day, also after this program
    /// or the server has started anew. Without one, a new key is made each time the claim is made, for
    /// the attempts at it.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.0.idempotency_key = key.into();
        self
    }

    /// Whether it may wait, and does not want an answer at once.
    pub(crate) fn may_wait(&self) -> bool {
        self.0.max_wait != Some(duration_to_proto(Duration::ZERO))
    }

    /// Whether it may be booked, so that it has to be taken up when its time has come.
    pub(crate) fn is_for_later(&self) -> bool {
        self.0.availability_time.is_some()
    }

    /// The length of the lease, if it is given.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        let lasts = self.0.lease_duration.as_ref();
        lasts.and_then(crate::time::span_of_wire)
    }

    /// The request, with a key of its own if it has none.
    pub(crate) fn into_wire(mut self) -> AllocateRequest {
        if self.0.idempotency_key.is_empty() {
            self.0.idempotency_key = chance::key();
        }
        self.0
    }
}

impl From<&str> for Claim {
    fn from(pool: &str) -> Self {
        Self::pool(pool)
    }
}

impl From<String> for Claim {
    fn from(pool: String) -> Self {
        Self::pool(pool)
    }
}

impl From<Requirements> for Claim {
    fn from(requirements: Requirements) -> Self {
        Self::needing(requirements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_claim_has_a_key_of_its_own_unless_it_is_given_one() {
        let key = |claim: &Claim| claim.clone().into_wire().idempotency_key;
        let claim = Claim::pool("notebook");
        assert_eq!(key(&claim).len(), 32);
        assert_ne!(key(&claim), key(&claim));
        assert_eq!(key(&claim.idempotency_key("exam")), "exam");
    }

    #[test]
    fn a_claim_says_what_it_was_told() {
        let wire = Claim::needing(Requirements::new().vcpus(2.0))
            .tenant("acme")
            .user("ada")
            .application("course")
            .priority(-3)
            .merge_key("course-7")
            .warm_only()
            .lease_duration(Duration::from_millis(1_500))
            .into_wire();
        assert_eq!(wire.tenant_id, "acme");
        assert_eq!(
            (wire.user_id.as_str(), wire.application_id.as_str()),
            ("ada", "course")
        );
        assert_eq!((wire.priority, wire.merge_key.as_str()), (-3, "course-7"));
        assert_eq!(wire.max_wait.unwrap().seconds, 0);
        assert_eq!(wire.lease_duration.unwrap().nanos, 500_000_000);
    }

    #[test]
    fn only_a_claim_that_may_not_wait_wants_an_answer_at_once() {
        let claim = Claim::pool("notebook");
        assert!(claim.may_wait());
        assert!(claim.clone().max_wait(Duration::from_secs(1)).may_wait());
        assert!(!claim.warm_only().may_wait());
    }
}
