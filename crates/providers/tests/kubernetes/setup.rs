//! A provider of pods in a namespace of its own.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use foreshadow_providers::{
    GoneReason, KubernetesProvider, KubernetesSpec, Provider, ProviderEvent, Template,
};
use foreshadow_types::{InstanceId, PoolName};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::cluster::Cluster;

pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) const POD: &str = r"
apiVersion: v1
kind: Pod
metadata:
  labels: { app: game }
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: game
    image: game:1
    ports: [{ containerPort: 7000 }]
";

pub(crate) fn pool() -> PoolName {
    PoolName::new("game").unwrap()
}

pub(crate) fn spec(cluster: &Cluster, namespace: &str) -> KubernetesSpec {
    KubernetesSpec {
        namespace: Some(namespace.to_owned()),
        kubeconfig: Some(cluster.kubeconfig().to_owned()),
        stop_grace: Duration::from_secs(1),
        ..KubernetesSpec::new(Template::parse(POD).unwrap())
    }
}

/// A provider and what it reports.
pub(crate) struct Setup {
    pub(crate) provider: KubernetesProvider,
    pub(crate) events: mpsc::Receiver<ProviderEvent>,
    pub(crate) folder: TempDir,
    pub(crate) spec: KubernetesSpec,
    pub(crate) client: Client,
    pub(crate) pods: Api<Pod>,
    pub(crate) cluster: Arc<Cluster>,
}

impl Setup {
    pub(crate) async fn new(cluster: Arc<Cluster>, namespace: &str) -> Self {
        Self::with(cluster, namespace, |_| {}).await
    }

    pub(crate) async fn with(
        cluster: Arc<Cluster>,
        namespace: &str,
        change: impl FnOnce(&mut KubernetesSpec),
    ) -> Self {
        let client = client(cluster.kubeconfig()).await;
        await_nodes(&client, cluster.nodes()).await;
        let named = json!({ "metadata": { "name": namespace } });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let created = namespaces
            .create(
                &PostParams::default(),
                &serde_json::from_value(named).unwrap(),
            )
            .await;
        created.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut spec = spec(&cluster, namespace);
        change(&mut spec);
        let (provider, events) = open(folder.path());
        provider.define(pool(), spec.clone()).unwrap();
        provider.reconcile(&BTreeSet::new());
        Self {
            provider,
            events,
            folder,
            spec,
            pods: Api::namespaced(client.clone(), namespace),
            client,
            cluster,
        }
    }

    /// Ends the provider without a word and starts another in its place.
    pub(crate) async fn restart(&mut self) {
        self.provider.close(&[]).await;
        let (provider, events) = open(self.folder.path());
        provider.define(pool(), self.spec.clone()).unwrap();
        (self.provider, self.events) = (provider, events);
    }

    pub(crate) fn start(&self, id: u64) {
        self.provider.start(&pool(), InstanceId(id));
    }

    pub(crate) async fn next(&mut self) -> ProviderEvent {
        let next = timeout(PATIENCE, self.events.recv()).await;
        next.expect("something is reported").unwrap()
    }

    pub(crate) async fn ready(&mut self, id: u64) -> (String, Duration) {
        match self.next().await {
            ProviderEvent::Ready {
                instance,
                address,
                took,
            } if instance == InstanceId(id) => (address, took),
            other => panic!("{id} is not ready, but {other:?}"),
        }
    }

    pub(crate) async fn failed(&mut self, id: u64) -> String {
        match self.next().await {
            ProviderEvent::Failed { instance, reason } if instance == InstanceId(id) => reason,
            other => panic!("{id} has not failed, but {other:?}"),
        }
    }

    pub(crate) async fn gone(&mut self, id: u64) -> GoneReason {
        match self.next().await {
            ProviderEvent::Gone { instance, reason } if instance == InstanceId(id) => reason,
            other => panic!("{id} is not gone, but {other:?}"),
        }
    }

    /// A started instance.
    pub(crate) async fn started(&mut self, id: u64) -> Pod {
        self.start(id);
        self.ready(id).await;
        self.pod(id).await.expect("it has a pod")
    }

    /// The pods of the namespace that are not on their way out.
    pub(crate) async fn living(&self) -> Vec<Pod> {
        let all = self.pods.list(&ListParams::default()).await.unwrap();
        let living = all.items.into_iter();
        living
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect()
    }

    pub(crate) async fn pod(&self, id: u64) -> Option<Pod> {
        let label = InstanceId(id).to_string();
        let living = self.living().await;
        living
            .into_iter()
            .find(|pod| pod.labels().get("foreshadow.dev/instance") == Some(&label))
    }

    /// Somebody else removes a pod.
    pub(crate) async fn remove(&self, pod: &Pod) {
        let now = DeleteParams::default().grace_period(0);
        self.pods.delete(&pod.name_any(), &now).await.unwrap();
    }

    /// Asks for an eviction, as who drains a node does; says whether it was granted.
    pub(crate) async fn evict(&self, pod: &Pod) -> bool {
        let name = pod.name_any();
        let eviction = json!({
            "apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": { "name": name },
        });
        let manner = PostParams::default();
        let asked = self
            .pods
            .create_subresource::<_, Value>("eviction", &name, &manner, &eviction)
            .await;
        match asked {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 429 => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let wait = async {
            while !holds().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}");
    }
}

pub(crate) async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.unwrap();
    // A refused eviction is an answer.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Nodes come a little later than the control plane.
async fn await_nodes(client: &Client, count: usize) {
    let nodes: Api<Node> = Api::all(client.clone());
    let is_ready = |node: &Node| {
        let conditions = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let ready = async || {
        let all = nodes.list(&ListParams::default()).await.unwrap();
        all.iter().filter(|node| is_ready(node)).count()
    };
    while ready().await < count {
        sleep(Duration::from_millis(100)).await;
    }
}

fn open(folder: &Path) -> (KubernetesProvider, mpsc::Receiver<ProviderEvent>) {
    let (sender, events) = mpsc::channel(256);
    let folder = folder.join("kubernetes");
    (
        KubernetesProvider::open(&folder, None, sender).unwrap(),
        events,
    )
}
