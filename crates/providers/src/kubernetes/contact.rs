//! An instance and the place that it is in.

use std::sync::Arc;

use kube::api::DynamicObject;

use super::{
    cluster::CallError,
    identity::{Identity, Use},
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
}

impl Contact {
    pub(super) async fn look(&self) -> Result<Found, CallError> {
        let deadline = self.spec.call_timeout;
        self.place.find(&self.identity, deadline).await
    }

    pub(super) async fn mark(
        &self,
        object: &DynamicObject,
        own: Use,
    ) -> Result<DynamicObject, CallError> {
        let marked = self.place.mark(object, own, &self.spec).await;
        marked.inspect_err(|error| self.tell(error))
    }

    /// Asks for the removal of an object that nobody removes yet.
    pub(super) async fn remove(&self, object: &DynamicObject) {
        if object.metadata.deletion_timestamp.is_none()
            && let Err(error) = self.place.remove(object, &self.spec).await
        {
            self.tell(&error);
        }
    }

    /// Asks for its removal until that is certain to come, but does not wait for it.
    pub(super) async fn discard(&self) {
        let mut tries = Pause::of_tries();
        loop {
            match self.look().await {
                Ok(Found::Own(object)) if object.metadata.deletion_timestamp.is_none() => {
                    self.remove(&object).await;
                }
                Ok(Found::Own(_) | Found::Foreign | Found::Nothing) => return,
                Err(error) => self.tell(&error),
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

    /// An outage is told once for all instances; what is refused is told of each.
    pub(super) fn tell(&self, error: &CallError) {
        match error {
            CallError::Passing(_) | CallError::Conflict(_) => {}
            CallError::Refused(_) | CallError::NotFound(_) | CallError::Exists(_) => {
                tracing::warn!(
                    instance = %self.identity.id,
                    %error,
                    "the API server refuses a call; tried again"
                );
            }
        }
    }
}
