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

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use cluster::Cluster;
use foreshadow_api::v1::{
    Allocation, ListRequest, allocation::State, allocations_client::AllocationsClient,
};
use foreshadow_tests::{Running, Server, free_port, http, installed};
use k8s_openapi::api::core::v1::{Node, Pod};
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

async fn client(cluster: &Cluster) -> Client {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

async fn pods(cluster: &Cluster) -> Api<Pod> {
    Api::namespaced(client(cluster).await, "default")
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

const TELEMETRY: &str = include_str!("../../docs/telemetry.md");

/// The page's configuration of a Prometheus in a cluster, for one beside it that knows the API server
/// and reads a hollow node's kubelet on the port that asks for no certificate.
fn scraping(cluster: &Cluster, server: &Server, kubelet: u16) -> String {
    let (_, section) = TELEMETRY
        .split_once("### Of a Kubernetes cluster")
        .expect("the page has the section");
    let page = section.split("```yaml\n").nth(1).expect("it has a block");
    let page = page.split("```").next().expect("it ends");
    let known = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let api = known.clusters[0].cluster.as_ref().unwrap();
    let api = api.server.as_ref().unwrap();
    let user = serde_json::to_value(&known.auth_infos[0].auth_info).unwrap();
    let token = &user["token"];
    let seen_from_beside = format!(
        "  - role: node\n    api_server: {api}\n    authorization: {{ credentials: {token} }}\n    \
         tls_config: {{ insecure_skip_verify: true }}\n  relabel_configs:\n  - target_label: \
         __address__\n    replacement: 127.0.0.1:{kubelet}\n"
    );
    let inside =
        "authorization: { credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token }";
    let edits = [
        ("  - role: node\n", seen_from_beside.as_str()),
        ("scheme: https", "scheme: http"),
        (inside, "scrape_interval: 1s"),
        (
            "  authorization: { credentials_file: /etc/foreshadow/token }\n",
            "",
        ),
        ("foreshadow.foreshadow.svc:7070", server.address()),
    ];
    edits
        .into_iter()
        .fold(page.to_owned(), |page, (there, here)| {
            assert!(page.contains(there), "{there} in {page}");
            page.replace(there, here)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_prometheus_of_a_cluster_finds_its_nodes_and_scrapes_their_kubelets() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    if !installed(&["prometheus"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start("", &folder.path().join("data"));
    let nodes: Api<Node> = Api::all(client(&cluster).await);
    let seen = async || nodes.list(&ListParams::default()).await.unwrap().items;
    until("the node has joined", async || !seen().await.is_empty()).await;
    let node = seen().await.remove(0);
    let kubelet = node.status.unwrap().daemon_endpoints.unwrap();
    let kubelet = kubelet.kubelet_endpoint.unwrap().port as u16;
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, scraping(&cluster, &server, kubelet + 1)).unwrap();
    let port = free_port();
    let _prometheus = Running::start(
        "prometheus",
        &[
            format!("--config.file={}", file.display()),
            format!(
                "--storage.tsdb.path={}",
                folder.path().join("tsdb").display()
            ),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ],
    );
    let address = format!("127.0.0.1:{port}");
    // What it says of the machine; no container runs on a hollow node.
    let question = "/api/v1/query?query=machine_cpu_cores";
    let scraped = async || {
        if TcpStream::connect(&address).is_err() {
            return false;
        }
        let (status, answer) = http(&address, "GET", question, "");
        status == 200 && answer.contains("\"job\":\"kubelet\"")
    };
    until("a kubelet is scraped", scraped).await;
    server.stop();
}
