//! From a template to the object of one instance.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{
    identity::{ALLOCATION, Identity, MANAGER, SAFE_TO_EVICT, STATE, TOKEN, Use},
    template::Template,
};

/// The object of an instance, as it is created.
pub(super) fn object(
    template: &Template,
    identity: &Identity,
    owner: Option<&OwnerReference>,
) -> Result<DynamicObject, serde_json::Error> {
    let mut object: DynamicObject = serde_json::from_value(template.object().clone())?;
    let metadata = &mut object.metadata;
    metadata.name = Some(identity.name());
    metadata.namespace = None;
    add(&mut metadata.labels, identity.labels());
    add(&mut metadata.annotations, identity.annotations());
    metadata.owner_references = owner.map(|owner| vec![owner.clone()]);
    if template.kind() == "Pod"
        && let Some(spec) = object.data["spec"].as_object_mut()
    {
        // A container that ended is not the instance that was handed out: it must not come back.
        spec.entry("restartPolicy").or_insert("Never".into());
    }
    Ok(object)
}

/// What is applied to an instance to say what it is used for. Nothing is changed if it is another
/// object by now, or another version than the one at hand.
pub(super) fn marking(object: &DynamicObject, own: Use, evictable_by_template: bool) -> Value {
    let mut marking = json!({
        "metadata": {
            "name": object.metadata.name,
            "uid": object.metadata.uid,
            "resourceVersion": object.metadata.resource_version,
            "labels": { STATE: own.label() },
        },
    });
    // What is applied once and left out later is removed.
    if let Use::Leased(lease) = own {
        let mut told = BTreeMap::new();
        if !evictable_by_template {
            told.insert(SAFE_TO_EVICT, "false".to_owned());
        }
        if let Some(lease) = lease {
            told.insert(ALLOCATION, lease.allocation.to_string());
            told.insert(TOKEN, lease.token.0.to_string());
        }
        marking["metadata"]["annotations"] = json!(told);
    }
    if let Some(types) = &object.types {
        marking["apiVersion"] = types.api_version.clone().into();
        marking["kind"] = types.kind.clone().into();
    }
    marking
}

/// Whether a template says itself when its pods may be moved.
pub(super) fn says_evictable(template: &Template) -> bool {
    !template.object()["metadata"]["annotations"][SAFE_TO_EVICT].is_null()
}

/// A reference that has the cluster remove an instance with its owner.
pub(super) fn reference(owner: &DynamicObject) -> Option<OwnerReference> {
    let types = owner.types.clone()?;
    Some(OwnerReference {
        api_version: types.api_version,
        kind: types.kind,
        name: owner.metadata.name.clone()?,
        uid: owner.metadata.uid.clone()?,
        controller: Some(false),
        block_owner_deletion: Some(false),
    })
}

/// The changes are ours, whoever made others before.
pub(super) fn applying() -> kube::api::PatchParams {
    kube::api::PatchParams::apply(MANAGER).force()
}

fn add(
    place: &mut Option<BTreeMap<String, String>>,
    more: impl IntoIterator<Item = (&'static str, String)>,
) {
    let more = more.into_iter().map(|(key, value)| (key.to_owned(), value));
    place.get_or_insert_default().extend(more);
}

#[cfg(test)]
mod tests {
    use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName};

    use super::*;
    use crate::provider::Lease;

    fn template(metadata: &Value, spec: &Value) -> Template {
        let mut spec = spec.clone();
        spec["containers"] = json!([{ "name": "a", "image": "b" }]);
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        Template::of(pod).unwrap()
    }

    fn identity() -> Identity {
        Identity {
            owner: "0123456789abcdef0123456789abcdef".into(),
            pool: PoolName::new("game").unwrap(),
            id: InstanceId(7),
            generation: 0,
        }
    }

    #[test]
    fn an_object_has_the_templates_labels_and_those_of_its_instance() {
        let metadata = json!({ "labels": { "app": "game" }, "namespace": "games" });
        let template = template(&metadata, &json!({}));
        let made = object(&template, &identity(), None).unwrap();
        assert!(identity().is(&made));
        assert_eq!(Use::of(&made), Use::Starting);
        assert_eq!(made.metadata.name.as_deref(), Some("game-01234567-i-7"));
        assert_eq!(made.metadata.labels.unwrap()["app"], "game");
        assert_eq!(made.data["spec"]["restartPolicy"], "Never");
    }

    #[test]
    fn a_template_keeps_its_own_policies() {
        let metadata = json!({ "annotations": { SAFE_TO_EVICT: "true" } });
        let template = template(&metadata, &json!({ "restartPolicy": "Always" }));
        assert!(says_evictable(&template));
        let made = object(&template, &identity(), None).unwrap();
        assert_eq!(made.data["spec"]["restartPolicy"], "Always");
    }

    #[test]
    fn a_mark_is_for_one_version_of_one_object() {
        let mut made = object(&template(&json!({}), &json!({})), &identity(), None).unwrap();
        made.metadata.uid = Some("u".into());
        made.metadata.resource_version = Some("5".into());
        let lease = Lease {
            allocation: AllocationId(42),
            token: FencingToken(3),
        };
        let leased = marking(&made, Use::Leased(Some(lease)), false);
        assert_eq!(leased["kind"], "Pod");
        assert_eq!(leased["metadata"]["uid"], "u");
        assert_eq!(leased["metadata"]["resourceVersion"], "5");
        assert_eq!(leased["metadata"]["labels"][STATE], "leased");
        assert_eq!(leased["metadata"]["annotations"][SAFE_TO_EVICT], "false");
        assert_eq!(leased["metadata"]["annotations"][ALLOCATION], "a-42");
        assert_eq!(leased["metadata"]["annotations"][TOKEN], "3");
        let told = serde_json::from_value(leased).unwrap();
        assert_eq!(Use::of(&told), Use::Leased(Some(lease)));
        let warm = marking(&made, Use::Warm, false);
        assert!(warm["metadata"]["annotations"].is_null());
    }
}
