//! An API server that is away for a while.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use foreshadow_providers::{GoneReason, Provider};
use foreshadow_types::InstanceId;
use kube::ResourceExt;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use crate::{cluster::Cluster, setup::Setup};

/// A way to the API server that can be cut.
struct Way {
    open: watch::Sender<bool>,
    kubeconfig: PathBuf,
}

impl Way {
    async fn to(cluster: &Cluster) -> Self {
        let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
        let server = text.split("https://").nth(1).unwrap();
        let server: SocketAddr = server.split('"').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let kubeconfig = cluster.state().join("kubeconfig-of-the-way");
        let text = text.replace(&server.to_string(), &own.to_string());
        std::fs::write(&kubeconfig, text).unwrap();
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *is_open.borrow() {
                    tokio::spawn(carry(near, server, is_open.clone()));
                }
            }
        });
        Self { open, kubeconfig }
    }
}

async fn carry(mut near: TcpStream, server: SocketAddr, mut open: watch::Receiver<bool>) {
    let mut far = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_way_is_cut_is_known_afterwards() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let way = Way::to(&cluster).await;
    let kubeconfig = way.kubeconfig.clone();
    let mut setup = Setup::with(cluster, "cut", |spec| {
        spec.kubeconfig = Some(kubeconfig);
        spec.call_timeout = Duration::from_secs(1);
    })
    .await;
    let vanishing = setup.started(1).await;
    let staying = setup.started(2).await;
    way.open.send_replace(false);
    setup.remove(&vanishing).await;
    setup.start(3);
    setup.provider.thaw(InstanceId(2), None);
    sleep(Duration::from_secs(2)).await;
    assert!(
        setup.events.try_recv().is_err(),
        "an outage changes nothing"
    );
    way.open.send_replace(true);
    let mut reported = Vec::new();
    for _ in 0..2 {
        reported.push(format!("{:?}", setup.next().await));
    }
    reported.sort();
    assert!(
        reported[0].starts_with("Gone { instance: InstanceId(1)"),
        "{reported:?}"
    );
    assert!(
        reported[1].starts_with("Ready { instance: InstanceId(3)"),
        "{reported:?}"
    );
    let leased = async || {
        let pod = setup.pod(2).await.unwrap();
        pod.labels()["foreshadow.dev/state"] == "leased" && pod.uid() == staying.uid()
    };
    setup.until("the mark has come late", leased).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_restarts_loses_nothing() {
    let Some(cluster) = Cluster::start(1) else {
        return;
    };
    let mut setup = Setup::new(Arc::new(cluster), "outage").await;
    for id in 1..=3 {
        setup.started(id).await;
    }
    let before: Vec<_> = setup.living().await.iter().map(ResourceExt::uid).collect();
    let words = setup.cluster.kill("apiserver");
    setup.start(4);
    setup.provider.stop(InstanceId(3));
    sleep(Duration::from_secs(3)).await;
    assert!(
        setup.events.try_recv().is_err(),
        "an outage changes nothing"
    );
    setup.cluster.restart("apiserver", &words);
    let mut reported = Vec::new();
    for _ in 0..2 {
        reported.push(format!("{:?}", setup.next().await));
    }
    reported.sort();
    assert!(
        reported[0].starts_with("Gone { instance: InstanceId(3)"),
        "{reported:?}"
    );
    assert!(
        reported[1].starts_with("Ready { instance: InstanceId(4)"),
        "{reported:?}"
    );
    let after: Vec<_> = setup.living().await.iter().map(ResourceExt::uid).collect();
    assert_eq!(after.len(), 3);
    assert_eq!(after.iter().filter(|uid| before.contains(uid)).count(), 2);
    let pod = setup.pod(1).await.unwrap();
    setup.remove(&pod).await;
    let reason = setup.gone(1).await;
    assert!(matches!(reason, GoneReason::Exited(_)), "{reason:?}");
}
