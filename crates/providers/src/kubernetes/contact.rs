//! An instance and the place that it is in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kube::api::DynamicObject;

use super::{
    cluster::CallError,
    identity::{Identity, Use, generation_of},
    place::{Found, Place},
    spec::KubernetesSpec,
};
use crate::pause::Pause;

/// Everything that is needed to ask for an instance.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) identity: Identity,
    pub(super) spec: Arc<KubernetesSpec>,
    pub(super) place: Arc<Place>,
    looks: Calls,
    changes: Calls,
}

/// Calls that need the same right.
#[derive(Debug, Default)]
struct Calls {
    /// Whether the last one was refused, so that this is told once.
    refused: AtomicBool,
}

impl Contact {
    pub(super) fn new(identity: Identity, spec: Arc<KubernetesSpec>, place: Arc<Place>) -> Self {
        Self {
            identity,
            spec,
            place,
            looks: Calls::default(),
            changes: Calls::default(),
        }
    }

    pub(super) async fn look(&self) -> Result<Found, CallError> {
        let deadline = self.spec.call_timeout;
        let found = self.place.find(&self.identity, deadline).await;
        self.heard(&self.looks, found)
    }

    /// Which generation of an instance of an earlier run there is, however long the API server is away.
    /// A record of it may be missing, or be older than what another replica made of it.
    pub(super) async fn seek(&self) -> u64 {
        let mut tries = Pause::of_tries();
        loop {
            match self.latest().await {
                Ok(generation) => return generation.unwrap_or(self.identity.generation),
                Err(_) => tries.wait_about().await,
            }
        }
    }

    /// The highest generation that stays, else the highest that is on its way out.
    async fn latest(&self) -> Result<Option<u64>, CallError> {
        // The next one is made only once the removal of this one is certain.
        if let Found::Own(object) = self.look().await?
            && object.metadata.deletion_timestamp.is_none()
        {
            return Ok(Some(self.identity.generation));
        }
        let (selector, deadline) = (self.identity.selector(), self.spec.call_timeout);
        let listed = self.place.list(&selector, deadline).await;
        let listed = self.heard(&self.looks, listed)?.into_iter();
        let generations = listed.filter_map(|object| {
            let stays = object.metadata.deletion_timestamp.is_none();
            Some((stays, generation_of(&object)?))
        });
        Ok(generations.max().map(|(_, generation)| generation))
    }

    pub(super) async fn mark(
        &self,
        object: &DynamicObject,
        own: Use,
    ) -> Result<DynamicObject, CallError> {
        let marked = self.place.mark(object, own, &self.spec).await;
        self.heard(&self.changes, marked)
    }

    /// Asks for the removal of an object; an error means that it may not come.
    pub(super) async fn remove(&self, object: &DynamicObject) -> Result<(), CallError> {
        let removed = self.place.remove(object, &self.spec).await;
        self.heard(&self.changes, removed)
    }

    /// Asks for its removal until that is certain to come, but does not wait for it.
    pub(super) async fn discard(&self) {
        let mut tries = Pause::of_tries();
        loop {
            let certain = match self.look().await {
                Ok(Found::Own(object)) if object.metadata.deletion_timestamp.is_none() => {
                    self.remove(&object).await.is_ok()
                }
                Ok(Found::Own(_) | Found::Foreign | Found::Nothing) => true,
                Err(_) => false,
            };
            if certain {
                return;
            }
            tries.wait_about().await;
        }
    }

    /// Why it cannot be started under its name.
    pub(super) fn taken(&self) -> String {
        let (name, namespace) = (self.identity.name(), &self.place.at.namespace);
        let kind = &self.place.at.kind;
        format!("there is a {kind} `{name}` in `{namespace}` that is not of this Foreshadow")
    }

    /// Its removal is certain, but nobody says that it has ended.
    pub(super) fn tell_left(&self) {
        tracing::warn!(
            instance = %self.identity.id,
            name = self.identity.name(),
            "a removal takes too long, as on a node that is lost; it is left to the cluster"
        );
    }

    /// An outage is told once for all instances; what is refused is told of each, once until it is not
    /// refused any more.
    fn heard<T>(&self, calls: &Calls, outcome: Result<T, CallError>) -> Result<T, CallError> {
        match &outcome {
            Ok(_) => calls.refused.store(false, Ordering::Relaxed),
            Err(CallError::Passing(_) | CallError::Conflict(_) | CallError::NotFound(_)) => {}
            Err(error @ (CallError::Refused(_) | CallError::Exists(_))) => {
                if !calls.refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        instance = %self.identity.id,
                        %error,
                        "the API server refuses a call; tried again"
                    );
                }
            }
        }
        outcome
    }
}
