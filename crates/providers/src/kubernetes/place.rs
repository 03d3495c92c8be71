//! Where objects of one kind are: a namespace of a cluster, with the watch over them.

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PostParams,
        Preconditions, PropagationPolicy,
    },
};
use tokio::sync::watch;

use super::{
    cluster::{Access, CallError, Cluster},
    identity::{Identity, MANAGER, Use},
    object,
    sights::{Sight, Sights},
    spec::{KubernetesSpec, Owner},
    template::Template,
};

/// How many objects are asked for at a time.
const PAGE: u32 = 500;

/// The most pages of objects; what is beyond is found the next time.
const MAX_PAGES: usize = 100;

/// What there is under the name of an instance.
#[derive(Debug)]
pub(super) enum Found {
    /// Its object.
    Own(Arc<DynamicObject>),
    /// An object of somebody else.
    Foreign,
    Nothing,
}

/// Names a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Whereabouts {
    pub(super) access: Access,
    pub(super) namespace: String,
    pub(super) api_version: String,
    pub(super) kind: String,
}

impl Whereabouts {
    fn resource(&self) -> ApiResource {
        resource(&self.api_version, &self.kind)
    }
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// All objects of one kind in one namespace.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) at: Whereabouts,
    cluster: Arc<Cluster>,
    api: Api<DynamicObject>,
    pub(super) sights: Arc<Sights>,
}

impl Place {
    pub(super) fn new(cluster: Arc<Cluster>, at: Whereabouts) -> Self {
        Self {
            api: Api::namespaced_with(cluster.client.clone(), &at.namespace, &at.resource()),
            at,
            cluster,
            sights: Arc::default(),
        }
    }

    pub(super) fn api(&self) -> Api<DynamicObject> {
        self.api.clone()
    }

    /// How objects are treated here of which no pool is known.
    pub(super) fn bare(&self) -> KubernetesSpec {
        KubernetesSpec::new(Template::bare(&self.at.api_version, &self.at.kind))
    }

    pub(super) fn look_out(&self, name: String) -> watch::Receiver<Sight> {
        self.sights.look_out(name)
    }

    /// Creates the object of an instance.
    pub(super) async fn create(
        &self,
        identity: &Identity,
        spec: &KubernetesSpec,
    ) -> Result<DynamicObject, CallError> {
        let owner = match &spec.owner {
            Some(owner) => Some(self.reference_to(owner, spec.call_timeout).await?),
            None => None,
        };
        let object = object::object(&spec.template, identity, owner.as_ref());
        let object = object.map_err(|error| CallError::Refused(error.to_string()))?;
        let manner = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        let call = self.api.create(&manner, &object);
        let created = self.cluster.call(spec.call_timeout, call).await;
        created.map_err(|error| match error {
            // The namespace or the kind: there is nothing else that could be missing.
            CallError::NotFound(words) => CallError::Refused(words),
            // Of a quota that somebody else changed at the same time.
            CallError::Conflict(words) => CallError::Passing(words),
            other => other,
        })
    }

    /// What there is of an instance now, whatever was seen of it.
    pub(super) async fn find(
        &self,
        identity: &Identity,
        deadline: Duration,
    ) -> Result<Found, CallError> {
        let name = identity.name();
        let found = self.cluster.call(deadline, self.api.get_opt(&name)).await;
        match found {
            Ok(Some(object)) if identity.is(&object) => Ok(Found::Own(Arc::new(object))),
            Ok(Some(_)) => Ok(Found::Foreign),
            Ok(None) | Err(CallError::NotFound(_)) => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Says on an object what it is used for, if it is still the version at hand.
    pub(super) async fn mark(
        &self,
        object: &DynamicObject,
        own: Use,
        spec: &KubernetesSpec,
    ) -> Result<DynamicObject, CallError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let mut object = object.clone();
        if object.types.is_none() {
            object.types = Some(kube::api::TypeMeta {
                api_version: self.at.api_version.clone(),
                kind: self.at.kind.clone(),
            });
        }
        let marking = object::marking(&object, own, object::says_evictable(&spec.template));
        let (applying, patch) = (object::applying(), Patch::Apply(&marking));
        let call = self.api.patch(&name, &applying, &patch);
        self.cluster.call(spec.call_timeout, call).await
    }

    /// Has an object removed, this one and no other of its name.
    pub(super) async fn remove(
        &self,
        object: &DynamicObject,
        spec: &KubernetesSpec,
    ) -> Result<(), CallError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let manner = DeleteParams {
            grace_period_seconds: u32::try_from(spec.stop_grace.as_secs()).ok(),
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: object.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let call = self.api.delete(&name, &manner);
        match self.cluster.call(spec.call_timeout, call).await {
            // It is gone, or another has its name by now.
            Ok(_) | Err(CallError::NotFound(_) | CallError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All objects that a selector selects.
    pub(super) async fn list(
        &self,
        selector: &str,
        deadline: Duration,
    ) -> Result<Vec<DynamicObject>, CallError> {
        let mut query = ListParams::default().labels(selector).limit(PAGE);
        let mut listed = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = self.cluster.call(deadline, self.api.list(&query)).await?;
            listed.extend(page.items);
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => query = query.continue_token(&more),
                None => break,
            }
        }
        Ok(listed)
    }

    /// A reference to what owns the instances of a pool. It is asked for each time: another object may
    /// have its name by now, and the cluster removes what belongs to one that is gone.
    async fn reference_to(
        &self,
        owner: &Owner,
        deadline: Duration,
    ) -> Result<OwnerReference, CallError> {
        let resource = resource(&owner.api_version, &owner.kind);
        let client = self.cluster.client.clone();
        let api = Api::<DynamicObject>::namespaced_with(client, &self.at.namespace, &resource);
        let found = self.cluster.call(deadline, api.get(&owner.name)).await;
        let found = found.map_err(|error| match error {
            CallError::NotFound(words) => CallError::Refused(format!("`owner`: {words}")),
            other => other,
        })?;
        let reference = object::reference(&found);
        reference.ok_or_else(|| CallError::Refused("`owner` has no uid".to_owned()))
    }
}
