//! What the manifests of the package give is enough, and keeps what it is to keep.

use std::path::Path;

use foreshadow_providers::{GoneReason, KubernetesProvider, Provider};
use foreshadow_types::InstanceId;
use k8s_openapi::{
    api::{
        authentication::v1::TokenRequest,
        core::v1::{Pod, Secret, ServiceAccount},
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    cluster::Cluster,
    setup::{Setup, client, pool},
};

/// The objects in a file of the component for pods.
fn manifests<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes");
    let text = std::fs::read_to_string(folder.join("components/pods").join(file)).unwrap();
    let parts = text.split("\n---\n");
    parts
        .map(|part| serde_saphyr::from_str::<Value>(part).unwrap())
        .map(|part| serde_json::from_value(part).unwrap())
        .collect()
}

/// Creates objects in a namespace.
async fn create(setup: &Setup, namespace: &str, file: &str, change: impl Fn(&mut Value)) {
    for mut manifest in manifests::<Value>(file) {
        change(&mut manifest);
        let (kind, version) = (manifest["kind"].as_str(), manifest["apiVersion"].as_str());
        let (group, version) = version.unwrap().split_once('/').unwrap();
        let kind = kube::api::GroupVersionKind::gvk(group, version, kind.unwrap());
        let resource = kube::api::ApiResource::from_gvk(&kind);
        let api = Api::<DynamicObject>::namespaced_with(setup.client.clone(), namespace, &resource);
        let object = serde_json::from_value(manifest).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

/// A kubeconfig of the service account that the manifests give rights to.
async fn of_the_account(setup: &Setup, namespace: &str) -> std::path::PathBuf {
    let accounts: Api<ServiceAccount> = Api::namespaced(setup.client.clone(), namespace);
    let mut account = ServiceAccount::default();
    account.metadata.name = Some("foreshadow".to_owned());
    let manner = PostParams::default();
    accounts.create(&manner, &account).await.unwrap();
    let request = TokenRequest {
        spec: serde_json::from_value(json!({ "audiences": ["kubernetes"] })).unwrap(),
        ..TokenRequest::default()
    };
    let asked = accounts.create_token_request("foreshadow", &manner, &request);
    let token = asked.await.unwrap().status.unwrap().token;
    let text = std::fs::read_to_string(setup.cluster.kubeconfig()).unwrap();
    let old = text.split("token: \"").nth(1).unwrap();
    let old = old.split('"').next().unwrap();
    let path = setup.folder.path().join("kubeconfig");
    std::fs::write(&path, text.replace(old, &token)).unwrap();
    path
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_the_manifests_are_enough_and_no_more_than_that() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "rights").await;
    create(&setup, "rights", "role.yaml", |manifest| {
        if manifest["kind"] == "RoleBinding" {
            manifest["subjects"][0]["namespace"] = json!("rights");
        }
    })
    .await;
    let mut spec = setup.spec.clone();
    spec.kubeconfig = Some(of_the_account(&setup, "rights").await);
    let (sender, events) = mpsc::channel(16);
    let folder = setup.folder.path().join("of-the-account");
    let provider = KubernetesProvider::open(&folder, None, sender).unwrap();
    provider.define(pool(), spec.clone()).unwrap();
    provider.reconcile(&std::collections::BTreeSet::new());
    (setup.provider, setup.events) = (provider, events);

    let pod = setup.started(1).await;
    setup.provider.thaw(InstanceId(1), None);
    let leased = async || {
        let pod = setup.pod(1).await.unwrap();
        pod.labels()["foreshadow.dev/state"] == "leased"
    };
    setup.until("it may be marked", leased).await;
    setup.provider.sweep().await;
    assert_eq!(setup.pod(1).await.unwrap().uid(), pod.uid());
    setup.provider.stop(InstanceId(1));
    assert_eq!(setup.gone(1).await, GoneReason::Stopped);

    let own = client(spec.kubeconfig.as_deref().unwrap()).await;
    let secrets: Api<Secret> = Api::namespaced(own.clone(), "rights");
    let listed = secrets.list(&ListParams::default()).await;
    assert!(is_forbidden(&listed.unwrap_err()));
    let pods: Api<Pod> = Api::namespaced(own, "rights");
    let (manner, all) = (DeleteParams::default(), ListParams::default());
    let removed = pods.delete_collection(&manner, &all).await;
    assert!(is_forbidden(&removed.unwrap_err()));

    spec.namespace = Some("default".to_owned());
    setup.provider.define(pool(), spec).unwrap();
    setup.start(2);
    let reason = setup.failed(2).await;
    assert!(reason.contains("forbidden"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_of_the_manifests_keeps_pods_on_lease_and_lets_others_go() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "budget").await;
    // Before Kubernetes 1.21 budgets are of v1beta1, with the same fields.
    create(&setup, "budget", "disruption-budget.yaml", |manifest| {
        manifest["apiVersion"] = json!("policy/v1beta1");
    })
    .await;
    setup.started(1).await;
    setup.started(2).await;
    setup.provider.hold(InstanceId(1));
    setup.provider.thaw(InstanceId(2), None);
    let told = async || {
        let states = [setup.pod(1).await.unwrap(), setup.pod(2).await.unwrap()];
        let states = states.map(|pod| pod.labels()["foreshadow.dev/state"].clone());
        states == ["warm", "leased"]
    };
    setup.until("both say what they are used for", told).await;
    let leased = setup.pod(2).await.unwrap();
    assert!(!setup.evict(&leased).await, "it is on lease");
    let warm = setup.pod(1).await.unwrap();
    assert!(setup.evict(&warm).await, "nobody has it");
    let reason = setup.gone(1).await;
    assert!(matches!(reason, GoneReason::Exited(_)), "{reason:?}");
    setup.provider.stop(InstanceId(2));
    assert_eq!(setup.gone(2).await, GoneReason::Stopped);
}
