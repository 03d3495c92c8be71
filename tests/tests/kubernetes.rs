//! Pods of a real control plane behind the real server. The binary must have been built with the
//! feature `cluster`. Nodes are hollow there: pods turn ready, no container runs.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "these tests wait for real processes and fail by panicking"
)]

#[path = "../../crates/providers/tests/kubernetes/cluster.rs"]
mod cluster;
mod support;

use std::time::{Duration, Instant};

use cluster::Cluster;
use foreshadow_api::v1::{
    Allocation, ListRequest, allocation::State, allocations_client::AllocationsClient,
};
use foreshadow_tests::Server;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use support::{PATIENCE, address, channel, release, warm};
use tempfile::TempDir;
use tokio::time::sleep;

const POD: &str = r"
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: site
    image: site:1
    ports: [{ containerPort: 8080 }]
";

async fn pods(cluster: &Cluster) -> Api<Pod> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    Api::namespaced(client, "default")
}

/// The pod of what was handed out. Pods on hollow nodes all have the same address.
async fn pod_of(pods: &Api<Pod>, held: &Allocation) -> Option<Pod> {
    assert!(address(held).ends_with(":8080"), "{}", address(held));
    let id = held.instance.clone().unwrap().id;
    let selected = ListParams::default().labels(&format!("foreshadow.dev/instance={id}"));
    pods.list(&selected).await.unwrap().into_iter().next()
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_handed_out_outlives_a_crash_and_ends_with_its_lease() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let data = TempDir::new().unwrap();
    std::fs::write(data.path().join("pod.yaml"), POD).unwrap();
    let config = format!(
        r#"
tick = "1s"
on_shutdown = "stop-all"

[[pool]]
name = "site"
provider = "kubernetes"
template = "pod.yaml"
kubeconfig = "{}"
stop_grace = "1s"
min = 2
max = 4
"#,
        cluster.kubeconfig().display()
    );
    let folder = data.path().join("data");
    let pods = pods(&cluster).await;
    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let held = warm(&mut client, "site").await;
    let leased = async || {
        let pod = pod_of(&pods, &held).await.unwrap();
        pod.labels()["foreshadow.dev/state"] == "leased"
    };
    until("its pod says that it is on lease", leased).await;
    let before = pod_of(&pods, &held).await.unwrap();
    server.kill();

    let server = Server::start(&config, &folder);
    let mut client = AllocationsClient::new(channel(&server).await);
    let listed = client.list(ListRequest::default()).await;
    let listed = listed.unwrap().into_inner().allocations;
    let mut listed = listed.iter();
    let kept = listed.find(|allocation| allocation.allocation_id == held.allocation_id);
    let kept = kept.expect("the lease is still there");
    assert_eq!(kept.state(), State::Granted);
    let after = pod_of(&pods, kept).await.unwrap();
    assert_eq!(after.uid(), before.uid());
    release(&mut client, &held).await;
    let removed = async || pods.get_opt(&before.name_any()).await.unwrap().is_none();
    until("its pod is removed after the lease", removed).await;
    let another = warm(&mut client, "site").await;
    assert!(pod_of(&pods, &another).await.is_some());

    server.stop();
    let none = async || {
        let all = pods.list(&ListParams::default()).await.unwrap();
        all.iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_some())
    };
    until("nothing is left", none).await;
}
