//! Pods of a real API server, scheduler and controllers, and all that may go wrong with them. Nodes
//! are hollow there: pods are scheduled and turn ready, no container runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for a real cluster and tell how long that took"
)]

mod cluster;
mod handover;
mod manifests;
mod outage;
mod sandbox;
mod setup;

use std::{collections::BTreeSet, time::Duration};

use cluster::Cluster;
use foreshadow_providers::{GoneReason, Lease, Provider, Template};
use foreshadow_types::{AllocationId, FencingToken, InstanceId};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, ResourceQuota};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use setup::{POD, Setup, pool};

/// What an operator sees of the use of a pod.
fn state(pod: &Pod) -> (&str, Option<&str>) {
    let evictable = pod
        .annotations()
        .get("cluster-autoscaler.kubernetes.io/safe-to-evict");
    let evictable = evictable.map(String::as_str);
    (&pod.labels()["foreshadow.dev/state"], evictable)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_start_say_what_they_are_used_for_and_are_removed() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "lives").await;
    for id in 1..=8 {
        setup.start(id);
        setup.start(id);
    }
    let mut took = Vec::new();
    for _ in 1..=8 {
        match setup.next().await {
            foreshadow_providers::ProviderEvent::Ready {
                address, took: t, ..
            } => {
                assert!(address.ends_with(":7000"), "{address}");
                took.push(t);
            }
            other => panic!("{other:?}"),
        }
    }
    took.sort();
    println!("start to ready: {took:?}");
    assert_eq!(
        setup.living().await.len(),
        8,
        "a start that is repeated starts nothing"
    );
    let pod = setup.pod(1).await.unwrap();
    assert_eq!(state(&pod).0, "starting");
    assert_eq!(pod.labels()["app"], "game");

    let one = InstanceId(1);
    let is = async |wanted: (&str, Option<&str>)| {
        let since = std::time::Instant::now();
        let holds = async || state(&setup.pod(1).await.unwrap()) == wanted;
        setup.until("its state is told", holds).await;
        println!("until it says {wanted:?}: {:?}", since.elapsed());
    };
    setup.provider.hold(one);
    is(("warm", None)).await;
    setup.provider.thaw(one, None);
    is(("leased", Some("false"))).await;
    setup.provider.hold(one);
    is(("warm", None)).await;
    let lease = Lease {
        allocation: AllocationId(42),
        token: FencingToken(3),
    };
    setup.provider.thaw(one, Some(lease));
    is(("leased", Some("false"))).await;
    let pod = setup.pod(1).await.unwrap();
    assert_eq!(pod.annotations()["foreshadow.dev/allocation"], "a-42");
    assert_eq!(pod.annotations()["foreshadow.dev/fencing-token"], "3");
    setup.provider.stop(one);
    assert_eq!(setup.gone(1).await, GoneReason::Stopped);
    assert!(setup.pod(1).await.is_none());
    setup.provider.stop(one);
    assert_eq!(setup.gone(1).await, GoneReason::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_remove_or_evict_is_gone() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "others").await;
    let pod = setup.started(1).await;
    setup.remove(&pod).await;
    let reason = setup.gone(1).await;
    assert!(matches!(reason, GoneReason::Exited(_)), "{reason:?}");

    let pod = setup.started(2).await;
    assert!(setup.evict(&pod).await);
    let reason = setup.gone(2).await;
    assert!(matches!(reason, GoneReason::Exited(_)), "{reason:?}");

    let pod = setup.started(3).await;
    let failed = json!({ "status": { "phase": "Failed", "reason": "Evicted", "message": "disk" } });
    let merge = kube::api::Patch::Merge(&failed);
    let manner = kube::api::PatchParams::default();
    let name = pod.name_any();
    setup
        .pods
        .patch_status(&name, &manner, &merge)
        .await
        .unwrap();
    let GoneReason::Exited(reason) = setup.gone(3).await else {
        panic!("it has not ended by itself");
    };
    assert!(reason.contains("Evicted"), "{reason}");
    setup
        .until("nothing is left", async || setup.living().await.is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_another_pod_of_the_same_instance() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "resets").await;
    let before = setup.started(1).await;
    setup.provider.reset(&pool(), InstanceId(1));
    setup.ready(1).await;
    let after = setup.pod(1).await.unwrap();
    assert_ne!(after.uid(), before.uid());
    assert!(after.name_any().ends_with("-r1"), "{}", after.name_any());
    setup.restart().await;
    setup.provider.reconcile(&BTreeSet::from([InstanceId(1)]));
    setup.provider.verify(&pool(), InstanceId(1));
    setup.ready(1).await;
    assert_eq!(setup.pod(1).await.unwrap().uid(), after.uid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_or_a_name_that_is_taken_fails_a_start_with_the_reason() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "quota").await;
    let pod = setup.started(1).await;
    // Somebody else's pod, under the name that the next instance will have.
    let taken = pod.name_any().replace("-i-1", "-i-2");
    let foreign = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": taken },
        "spec": { "containers": [{ "name": "a", "image": "b:1" }] },
    });
    let foreign: Pod = serde_json::from_value(foreign).unwrap();
    let foreign = setup
        .pods
        .create(&PostParams::default(), &foreign)
        .await
        .unwrap();
    setup.start(2);
    let reason = setup.failed(2).await;
    assert!(reason.contains("not of this Foreshadow"), "{reason}");
    setup.gone(2).await;
    let left = setup.pods.get(&taken).await.unwrap();
    assert_eq!(
        (left.uid(), left.metadata.deletion_timestamp),
        (foreign.uid(), None)
    );

    let quotas: Api<ResourceQuota> = Api::namespaced(setup.client.clone(), "quota");
    let quota = json!({ "metadata": { "name": "few" }, "spec": { "hard": { "pods": "2" } } });
    let quota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let known = async || {
        let status = quotas.get("few").await.unwrap().status;
        status.and_then(|status| status.used).is_some()
    };
    setup.until("the quota is in force", known).await;
    setup.start(3);
    let reason = setup.failed(3).await;
    assert!(reason.contains("exceeded quota"), "{reason}");
    setup.gone(3).await;
    quotas
        .delete("few", &DeleteParams::default())
        .await
        .unwrap();
    setup.started(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_fails_with_the_schedulers_reason() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let large = POD.replace(
        "image: game:1",
        "image: game:1\n    resources: { requests: { cpu: 9999 } }",
    );
    let mut setup = Setup::with(cluster, "large", |spec| {
        spec.template = Template::parse(&large).unwrap();
        spec.start_timeout = Duration::from_secs(3);
    })
    .await;
    setup.start(1);
    let reason = setup.failed(1).await;
    assert!(reason.contains("Insufficient cpu"), "{reason}");
    setup.gone(1).await;
    assert!(setup.living().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_adopts_what_is_known_and_removes_what_is_not() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "restart").await;
    for id in 1..=4 {
        setup.started(id).await;
    }
    setup.provider.thaw(InstanceId(1), None);
    setup
        .until("it is leased", async || {
            state(&setup.pod(1).await.unwrap()).0 == "leased"
        })
        .await;
    let kept = setup.pod(1).await.unwrap();
    let vanishing = setup.pod(4).await.unwrap();
    setup.provider.close(&[]).await;
    // Gone while nobody watched; and one whose record is lost.
    setup.remove(&vanishing).await;
    std::fs::remove_file(setup.folder.path().join("kubernetes/i-2.json")).unwrap();
    setup.restart().await;
    let known = BTreeSet::from([InstanceId(1), InstanceId(4)]);
    assert_eq!(setup.provider.reconcile(&known), 1);
    assert_eq!(setup.gone(3).await, GoneReason::Stopped);
    setup.provider.verify(&pool(), InstanceId(1));
    let (_, took) = setup.ready(1).await;
    assert_eq!(took, Duration::ZERO);
    setup.provider.verify(&pool(), InstanceId(4));
    assert_eq!(setup.gone(4).await, GoneReason::Missing);
    setup
        .until("the stranger is gone", async || {
            setup.living().await.len() == 1
        })
        .await;
    assert_eq!(setup.pod(1).await.unwrap().uid(), kept.uid());
    assert_eq!(state(&setup.pod(1).await.unwrap()).0, "leased");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_takes_its_instances_with_it() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::with(cluster, "owner", |spec| {
        spec.owner = Some(foreshadow_providers::Owner {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "foreshadow".to_owned(),
        });
    })
    .await;
    setup.start(1);
    let reason = setup.failed(1).await;
    assert!(reason.contains("`owner`"), "{reason}");
    setup.gone(1).await;
    let owners: Api<ConfigMap> = Api::namespaced(setup.client.clone(), "owner");
    let mut owner = ConfigMap::default();
    owner.metadata.name = Some("foreshadow".to_owned());
    // The second has the first one's name, but is another object.
    for id in [2, 3] {
        owners.create(&PostParams::default(), &owner).await.unwrap();
        setup.started(id).await;
        let background = DeleteParams::background();
        owners.delete("foreshadow", &background).await.unwrap();
        let reason = setup.gone(id).await;
        assert!(matches!(reason, GoneReason::Exited(_)), "{reason:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_a_lost_node_is_gone() {
    let Some(cluster) = Cluster::start(2) else {
        return;
    };
    let template = POD.replace("containers:", "nodeName: hollow-2\n  containers:");
    let mut setup = Setup::with(std::sync::Arc::new(cluster), "nodes", |spec| {
        spec.template = Template::parse(&template).unwrap();
        spec.unready_timeout = Duration::from_secs(1);
    })
    .await;
    let nodes: Api<Node> = Api::all(setup.client.clone());
    setup.started(1).await;
    setup.cluster.kill("node-2");
    // Its controller has patience of its own.
    assert_eq!(setup.gone(1).await, GoneReason::Stuck);
    nodes
        .delete("hollow-2", &DeleteParams::default())
        .await
        .unwrap();
    setup
        .until("nothing is left", async || setup.living().await.is_empty())
        .await;
}
