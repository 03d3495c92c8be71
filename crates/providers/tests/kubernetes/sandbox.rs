//! Sandboxes for agents: objects of another kind, which a controller makes ready. The controller is
//! this test.

use foreshadow_providers::{GoneReason, Provider, Template};
use foreshadow_types::InstanceId;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{
        ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    },
};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    setup::{Setup, pool},
};

const SANDBOX: &str = r"
apiVersion: agents.x-k8s.io/v1alpha1
kind: Sandbox
spec:
  podTemplate:
    spec:
      containers:
      - { name: agent, image: 'agent:1' }
";

/// The kind as the cluster is told of it, with as much of its fields as is used here.
fn definition() -> CustomResourceDefinition {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let schema = json!({ "type": "object", "properties": { "spec": open, "status": open } });
    let definition = json!({
        "metadata": { "name": "sandboxes.agents.x-k8s.io" },
        "spec": {
            "group": "agents.x-k8s.io",
            "scope": "Namespaced",
            "names": { "plural": "sandboxes", "singular": "sandbox", "kind": "Sandbox" },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    });
    serde_json::from_value(definition).unwrap()
}

async fn define(setup: &Setup) {
    let kinds: Api<CustomResourceDefinition> = Api::all(setup.client.clone());
    kinds
        .create(&PostParams::default(), &definition())
        .await
        .unwrap();
    let established = async || {
        let kind = kinds.get("sandboxes.agents.x-k8s.io").await.unwrap();
        let conditions = kind
            .status
            .and_then(|status| status.conditions)
            .unwrap_or_default();
        let mut conditions = conditions.iter();
        conditions.any(|condition| condition.type_ == "Established" && condition.status == "True")
    };
    setup.until("the kind is known", established).await;
}

fn sandboxes(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("agents.x-k8s.io", "v1alpha1", "Sandbox");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind))
}

/// What its controller says of a sandbox.
async fn say(sandboxes: &Api<DynamicObject>, name: &str, status: Value) {
    let status = json!({ "status": status });
    let said = sandboxes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await;
    said.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_an_instance_when_its_controller_says_so() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::with(cluster, "agents", |spec| {
        spec.template = Template::parse(SANDBOX).unwrap();
        spec.port = Some(8888);
    })
    .await;
    define(&setup).await;
    setup.start(1);
    let sandboxes = sandboxes(setup.client.clone(), "agents");
    let one = async || {
        let all = sandboxes.list(&ListParams::default()).await.unwrap();
        all.items.into_iter().next()
    };
    setup
        .until("it is created", async || one().await.is_some())
        .await;
    let name = one().await.unwrap().metadata.name.unwrap();
    say(
        &sandboxes,
        &name,
        json!({ "serviceFQDN": "one.agents.svc.cluster.local" }),
    )
    .await;
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True", "reason": "DependenciesReady", "message": "" }] });
    say(&sandboxes, &name, ready).await;
    let (address, _) = setup.ready(1).await;
    assert_eq!(address, "one.agents.svc.cluster.local:8888");

    setup.provider.thaw(InstanceId(1), None);
    let leased = async || {
        let labels = one().await.unwrap().metadata.labels.unwrap();
        labels["foreshadow.dev/state"] == "leased"
    };
    setup.until("it says that it is leased", leased).await;

    // It is without an address for a while, as when its pod is moved, and the server restarts meanwhile.
    say(&sandboxes, &name, json!({ "serviceFQDN": null })).await;
    setup.restart().await;
    setup.provider.reconcile(&[InstanceId(1)].into());
    setup.provider.verify(&pool(), InstanceId(1));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(setup.events.try_recv().is_err(), "it has time to come back");
    let back = json!({ "serviceFQDN": "two.agents.svc.cluster.local" });
    say(&sandboxes, &name, back).await;
    let (address, _) = setup.ready(1).await;
    assert_eq!(address, "two.agents.svc.cluster.local:8888");
    setup.provider.stop(InstanceId(1));
    assert_eq!(setup.gone(1).await, GoneReason::Stopped);
    assert!(one().await.is_none());
}
