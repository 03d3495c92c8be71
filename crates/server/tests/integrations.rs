//! Autoscalers of others against a real engine, in their own protocols.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::time::Duration;

use foreshadow_api::{
    externalscaler::{
        GetMetricsRequest, ScaledObjectRef, external_scaler_client::ExternalScalerClient,
    },
    v1::{
        AllocateRequest, CancelRequest, allocate_request::Target,
        allocations_client::AllocationsClient,
    },
};
use serde_json::{Value, json};
use support::Served;
use tokio::time::{sleep, timeout};
use tonic::{Code, transport::Channel};

const PATIENCE: Duration = Duration::from_secs(20);

/// What KEDA sends for a trigger with this metadata: its own keys are in it too.
fn scaled_object(metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let own = [("scalerAddress", "foreshadow.default.svc:7070")];
    let pairs = own.iter().chain(metadata);
    ScaledObjectRef {
        name: "game".to_owned(),
        namespace: "default".to_owned(),
        scaler_metadata: pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

fn metrics(metadata: &[(&str, &str)], name: &str) -> GetMetricsRequest {
    GetMetricsRequest {
        scaled_object_ref: Some(scaled_object(metadata)),
        metric_name: name.to_owned(),
    }
}

async fn number(keda: &mut ExternalScalerClient<Channel>, name: &str) -> i64 {
    let metadata = [("pool", "notebook"), ("number", name)];
    let metric = format!("foreshadow-{name}");
    let answer = keda.get_metrics(metrics(&metadata, &metric)).await.unwrap();
    let values = answer.into_inner().metric_values;
    assert_eq!((values.len(), &values[0].metric_name), (1, &metric));
    assert_eq!(values[0].metric_value_float, values[0].metric_value as f64);
    values[0].metric_value
}

/// Two instances are planned from now on: as many as the pool may have.
async fn plan_two(served: &Served) {
    let two = r#"{"set":{"name":"two","pool":"notebook","count":2,"reason":"a test"}}"#;
    assert_eq!(served.post("/admin/shadow_override", two).await.status, 200);
    let mut keda = ExternalScalerClient::new(served.channel().await);
    let planned = async {
        // Before the first plan the answer is UNAVAILABLE.
        let asked = || metrics(&[("pool", "notebook")], "foreshadow-target");
        loop {
            match keda.get_metrics(asked()).await {
                Ok(answer) if answer.get_ref().metric_values[0].metric_value == 2 => return,
                Ok(_) => {}
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, planned).await.unwrap();
}

fn notebook() -> AllocateRequest {
    AllocateRequest {
        user_id: "ada".to_owned(),
        target: Some(Target::Pool("notebook".to_owned())),
        ..AllocateRequest::default()
    }
}

#[tokio::test]
async fn keda_is_told_the_planned_target_and_what_a_replica_carries() {
    let served = Served::start(None).await;
    plan_two(&served).await;
    let mut keda = ExternalScalerClient::new(served.channel().await);
    let object = scaled_object(&[("pool", "notebook"), ("perReplica", "1.5")]);
    let spec = keda.get_metric_spec(object.clone()).await.unwrap();
    let spec = spec.into_inner().metric_specs.remove(0);
    assert_eq!(spec.metric_name, "foreshadow-target");
    assert_eq!((spec.target_size, spec.target_size_float), (2, 1.5));
    assert!(keda.is_active(object).await.unwrap().into_inner().result);
    assert_eq!(number(&mut keda, "target").await, 2);
    assert_eq!(number(&mut keda, "leased").await, 0);
    assert_eq!(number(&mut keda, "total").await, 2);

    let mut client = AllocationsClient::new(served.channel().await);
    client.allocate(notebook()).await.unwrap();
    let leased = number(&mut keda, "leased").await;
    assert_eq!(leased, 1);
    let target = number(&mut keda, "target").await;
    assert!(number(&mut keda, "total").await > target);
    served.stop().await;
}

#[tokio::test]
async fn keda_is_told_what_is_wrong_with_its_trigger() {
    let served = Served::start(None).await;
    let mut keda = ExternalScalerClient::new(served.channel().await);
    for (metadata, code, word) in [
        (&[][..], Code::InvalidArgument, "`pool` is missing"),
        (&[("pool", "nope")][..], Code::NotFound, "nope"),
        (&[("pool", "")][..], Code::InvalidArgument, "pool"),
        (
            &[("pool", "notebook"), ("number", "warm")][..],
            Code::InvalidArgument,
            "target, total",
        ),
    ] {
        let object = scaled_object(metadata);
        let of_metric = keda
            .get_metrics(metrics(metadata, "foreshadow-target"))
            .await;
        for status in [
            keda.is_active(object.clone()).await.unwrap_err(),
            keda.get_metric_spec(object.clone()).await.unwrap_err(),
            keda.stream_is_active(object).await.unwrap_err(),
            of_metric.unwrap_err(),
        ] {
            assert_eq!(status.code(), code, "{status}");
            assert!(status.message().contains(word), "{status}");
        }
    }
    let other = metrics(&[("pool", "notebook")], "foreshadow-leased");
    let status = keda.get_metrics(other).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    served.stop().await;
}

#[tokio::test]
async fn keda_is_told_at_once_that_a_pool_becomes_active_and_no_longer_is() {
    let served = Served::start(None).await;
    let channel = served.channel().await;
    let mut keda = ExternalScalerClient::new(channel.clone());
    let object = scaled_object(&[("pool", "notebook"), ("number", "queued")]);
    let mut told = keda.stream_is_active(object).await.unwrap().into_inner();
    let mut next = async || {
        let message = timeout(PATIENCE, told.message()).await.unwrap();
        message.unwrap().unwrap().result
    };
    assert!(!next().await, "nobody waits");
    let mut client = AllocationsClient::new(channel);
    let mut last = String::new();
    for _ in 0..3 {
        last = client
            .allocate(notebook())
            .await
            .unwrap()
            .into_inner()
            .allocation_id;
    }
    assert!(next().await, "the third waits");
    let cancel = CancelRequest {
        allocation_id: last,
    };
    client.cancel(cancel).await.unwrap();
    assert!(!next().await, "nobody waits any more");
    served.stop().await;
}

/// What Agones 1.50 sends: all of the fleet's status, its labels and annotations.
fn review(allocated: u32) -> Value {
    json!({
        "request": {
            "uid": "5b3c1b8e-6d7b-11ee-b962-0242ac120002",
            "name": "simple-game-server",
            "namespace": "default",
            "status": {
                "replicas": 10,
                "readyReplicas": 3,
                "reservedReplicas": 1,
                "allocatedReplicas": allocated,
                "players": {"count": 4, "capacity": 20},
                "counters": {"rooms": {
                    "allocatedCount": 1, "allocatedCapacity": 2, "count": 3, "capacity": 4
                }},
            },
            "labels": {"agones.dev/fleet": "simple-game-server"},
            "annotations": {"note": "of the fleet"},
        },
        "response": null,
    })
}

#[tokio::test]
async fn agones_is_told_the_planned_target_beside_what_is_allocated() {
    let served = Served::start(None).await;
    plan_two(&served).await;
    for (allocated, replicas) in [(0, 2), (6, 8)] {
        let body = review(allocated).to_string();
        let answer = served.post("/integrations/agones/notebook", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let response = json!({
            "uid": "5b3c1b8e-6d7b-11ee-b962-0242ac120002", "scale": true, "replicas": replicas,
        });
        assert_eq!(answer.json(), json!({ "response": response }));
    }
    served.stop().await;
}

#[tokio::test]
async fn agones_leaves_the_fleet_as_it_is_where_there_is_no_answer_for_it() {
    let served = Served::start(None).await;
    let unknown = served
        .post("/integrations/agones/nope", &review(1).to_string())
        .await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let mut negative = review(1);
    negative["request"]["status"]["allocatedReplicas"] = json!(-1);
    let mut without = review(1);
    without["request"].as_object_mut().unwrap().remove("uid");
    let no_request = json!({"request": null, "response": null});
    for body in [negative, without, no_request] {
        let refused = served
            .post("/integrations/agones/notebook", &body.to_string())
            .await;
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    let token = "correct-horse-battery";
    served.stop().await;

    // Agones sends the user and password of its URL, as any Go client does.
    let served = Served::start(Some(token)).await;
    let body = review(1).to_string();
    let path = "/integrations/agones/nope";
    let bare = served.ask("POST", path, &[], &body).await;
    assert_eq!(bare.status, 401);
    // "agones:correct-horse-battery"
    let basic = [(
        "authorization",
        "Basic YWdvbmVzOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==",
    )];
    let allowed = served.ask("POST", path, &basic, &body).await;
    assert_eq!(allowed.status, 404);
    served.stop().await;
}
