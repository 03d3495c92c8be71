//! Instances of a shard that another replica takes over: it goes by the same name, and has no record of
//! any of them.

use std::{collections::BTreeSet, time::Instant};

use foreshadow_providers::{GoneReason, KubernetesProvider, Provider, ProviderEvent};
use foreshadow_types::InstanceId;
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::PostParams};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    cluster::Cluster,
    setup::{Setup, pool},
    state,
};

/// Another provider of the same name in the place of the one that there is, which is given back.
fn take_over(setup: &mut Setup) -> (KubernetesProvider, mpsc::Receiver<ProviderEvent>) {
    let owner = setup.folder.path().join("kubernetes/owner");
    let owner = std::fs::read_to_string(owner).unwrap();
    let folder = setup.folder.path().join("of-another");
    let (sender, events) = mpsc::channel(256);
    let provider = KubernetesProvider::open(&folder, Some(&owner), sender).unwrap();
    provider.define(pool(), setup.spec.clone()).unwrap();
    let provider = std::mem::replace(&mut setup.provider, provider);
    (provider, std::mem::replace(&mut setup.events, events))
}

/// The instances that have a pod, each with what tells its pod from others.
async fn living(setup: &Setup) -> BTreeSet<(String, String)> {
    let pods = setup.living().await.into_iter();
    let told = pods.map(|pod| {
        let instance = pod.labels()["foreshadow.dev/instance"].clone();
        (instance, pod.uid().unwrap())
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_goes_on_with_what_is_known_and_the_rest_goes() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "handover").await;
    let [leased, renewed, stopping, lost, waiting] = [1, 2, 3, 4, 5].map(InstanceId);
    for id in [leased, renewed, stopping, lost, waiting] {
        setup.started(id.0).await;
    }
    setup.provider.thaw(leased, None);
    setup.provider.reset(&pool(), renewed);
    setup.ready(renewed.0).await;
    let told = async || state(&setup.pod(leased.0).await.unwrap()).0 == "leased";
    setup.until("it is leased", told).await;
    let mut kept = living(&setup).await;
    kept.retain(|(id, _)| ![stopping, lost].map(|gone| gone.to_string()).contains(id));

    setup.provider.close(&[]).await;
    let (old, _events) = take_over(&mut setup);
    let since = Instant::now();
    let known = BTreeSet::from([leased, renewed, stopping, waiting]);
    assert_eq!(setup.provider.reconcile(&known), 0, "it has no record");
    setup.provider.stop(stopping);
    assert_eq!(setup.gone(stopping.0).await, GoneReason::Stopped);
    for id in [leased, renewed, waiting] {
        setup.provider.verify(&pool(), id);
        setup.ready(id.0).await;
    }
    let holds = async || living(&setup).await == kept;
    setup.until("those that nobody knows go", holds).await;
    println!("until nothing is left over: {:?}", since.elapsed());
    assert_eq!(state(&setup.pod(leased.0).await.unwrap()).0, "leased");

    setup.started(6).await;
    let all = living(&setup).await;
    old.sweep().await;
    assert_eq!(living(&setup).await, all);
    assert_eq!(all.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_replaces_the_latest_and_the_old_one_lets_it_be() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let mut setup = Setup::new(cluster, "latest").await;
    let one = InstanceId(1);
    setup.started(1).await;
    setup.provider.reset(&pool(), one);
    setup.ready(1).await;
    let (old, mut events) = take_over(&mut setup);
    setup.provider.reconcile(&BTreeSet::from([one]));
    setup.provider.reset(&pool(), one);
    setup.ready(1).await;
    let latest = setup.pod(1).await.unwrap();
    assert!(latest.name_any().ends_with("-r2"), "{}", latest.name_any());
    assert_eq!(setup.living().await.len(), 1);
    let told = events.recv().await;
    assert!(
        matches!(&told, Some(ProviderEvent::Gone { instance, .. }) if *instance == one),
        "{told:?}"
    );
    old.sweep().await;
    assert_eq!(setup.pod(1).await.unwrap().uid(), latest.uid());

    for generation in ["1", "3"] {
        create_beside(&setup, &latest, generation).await;
    }
    setup.provider.sweep().await;
    let left = setup.living().await.into_iter();
    let left: BTreeSet<_> = left
        .map(|pod| pod.labels()["foreshadow.dev/generation"].clone())
        .collect();
    assert_eq!(left, ["2", "3"].map(str::to_owned).into());
}

/// A pod of the same instance, which another replica may have made before it knew that it was replaced.
async fn create_beside(setup: &Setup, pod: &Pod, generation: &str) {
    let mut labels = pod.labels().clone();
    labels.insert("foreshadow.dev/generation".into(), generation.into());
    let name = format!("{}-beside-{generation}", pod.name_any());
    let pod = json!({
        "metadata": { "name": name, "labels": labels },
        "spec": { "containers": [{ "name": "a", "image": "b:1" }] },
    });
    let pod = serde_json::from_value(pod).unwrap();
    let created = setup.pods.create(&PostParams::default(), &pod).await;
    created.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pods_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("kubernetes");
    let (sender, _events) = mpsc::channel(1);
    let provider = KubernetesProvider::open(&folder, None, sender).unwrap();
    provider.reconcile(&BTreeSet::new());
    provider.sweep().await;
    assert!(!folder.exists());
}
