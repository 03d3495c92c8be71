//! Instances at an external provider stay what they are when their shard passes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use foreshadow_tests::http;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    calls::next_page,
    provider::Elsewhere,
    replicas::{SHARDS, Setting},
    trial::Trial,
};

/// Claims until it is granted; nothing waits in a queue when it is not.
async fn claim(trial: &Trial, replica: usize, pool: &str) -> Value {
    let wanted =
        json!({"tenantId": "acme", "pool": pool, "leaseDuration": "3600s", "maxWait": "0s"});
    let body = wanted.to_string();
    let address = trial.address(replica);
    let since = Instant::now();
    loop {
        let (status, answer) = http(&address, "POST", "/api/v1/allocations", &body);
        let lease: Value = serde_json::from_str(&answer).unwrap_or_default();
        if status == 200 && lease["state"] == "GRANTED" {
            return lease;
        }
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{status} {answer}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

fn leases(trial: &Trial, replica: usize) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut token = String::new();
    loop {
        let path = format!("/api/v1/allocations?states=GRANTED&pageToken={token}");
        let (status, answer) = http(&trial.address(replica), "GET", &path, "");
        assert_eq!(status, 200, "{answer}");
        let page: Value = serde_json::from_str(&answer).unwrap_or_default();
        for lease in page["allocations"].as_array().into_iter().flatten() {
            let id = lease["allocationId"].as_str().unwrap_or_default();
            all.insert(id.to_owned(), lease["instance"].clone());
        }
        token = next_page(&page);
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_elsewhere_stay_with_their_leases_when_a_replica_is_lost() {
    let elsewhere = Elsewhere::default();
    let endpoint = elsewhere.serve().await;
    let names: Vec<_> = (0..9).map(|number| format!("far-{number}")).collect();
    let pools = names.iter().map(|name| {
        format!(
            "\n[[pool]]\nname = \"{name}\"\nprovider = \"grpc\"\nendpoint = \"{endpoint}\"\n\
             min = 1\nmax = 4\n"
        )
    });
    let folder = tempfile::tempdir().expect("a folder can be made");
    let setting = Setting {
        pools: pools.collect::<Vec<_>>().concat(),
        ..Setting::default()
    };
    let Some(mut trial) = Trial::start_with(folder.path(), &setting) else {
        return;
    };
    trial.spread().await;
    let mut held = BTreeMap::new();
    for name in &names {
        let lease = claim(&trial, 0, name).await;
        let id = lease["allocationId"].as_str().unwrap_or_default();
        held.insert(id.to_owned(), lease["instance"].clone());
    }
    let owners = |elsewhere: &Elsewhere| -> BTreeSet<String> {
        elsewhere
            .all()
            .keys()
            .map(|(owner, _)| owner.clone())
            .collect()
    };
    let before = owners(&elsewhere);
    trial.replicas[1].kill();
    let addresses = |instances: &BTreeMap<String, Value>| -> BTreeSet<String> {
        let of = |instance: &Value| instance["address"].as_str().map(str::to_owned);
        instances.values().filter_map(of).collect()
    };
    for name in &names {
        claim(&trial, 0, name).await;
    }
    assert_eq!(
        trial.shares().iter().sum::<usize>(),
        SHARDS,
        "all shards are owned again"
    );
    // Longer than it takes to ask for instances of an earlier run, and to find strangers.
    sleep(Duration::from_secs(2)).await;
    let after = leases(&trial, 2);
    for (id, instance) in &held {
        assert_eq!(after.get(id), Some(instance), "{id}");
    }
    let there: BTreeSet<_> = elsewhere
        .all()
        .values()
        .map(|one| one.address.clone())
        .collect();
    assert!(addresses(&after).is_subset(&there), "{after:?} {there:?}");
    assert_eq!(
        owners(&elsewhere),
        before,
        "each shard is known by one name"
    );
    let known: u64 = {
        let (_, body) = http(&trial.address(0), "GET", "/api/v1/pools", "");
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let pools = body["pools"].as_array().into_iter().flatten();
        let states = ["ready", "starting", "leased", "stopping"];
        pools
            .flat_map(|pool| states.map(|state| pool[state].as_u64().unwrap_or_default()))
            .sum()
    };
    assert_eq!(known, elsewhere.all().len() as u64, "none is forgotten");
}
