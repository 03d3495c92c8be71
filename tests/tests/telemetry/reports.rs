//! Our own reports, sent again where the answer did not come.

use std::time::Duration;

use foreshadow_api::v1::{Point, ReportRequest, Series, series, telemetry_client::TelemetryClient};
use foreshadow_tests::{Server, notebook_pool, until};
use foreshadow_types::Timestamp;
use tempfile::TempDir;

use crate::{metric, now_nanos};

/// Points of `cpu` of a user, a second apart.
fn report(begin: Timestamp, user: &str, values: std::ops::Range<u32>) -> ReportRequest {
    let points = values.map(|value| Point {
        at: Some(foreshadow_api::timestamp_to_proto(
            begin + Duration::from_secs(value.into()),
        )),
        value: f64::from(value),
    });
    ReportRequest {
        series: vec![Series {
            entity: Some(series::Entity::UserId(user.to_owned())),
            metric: "cpu".to_owned(),
            points: points.collect(),
        }],
    }
}

/// The answers to these batches, on a stream of their own.
async fn reported(address: &str, batches: Vec<ReportRequest>) -> Vec<(u64, u64)> {
    let mut client = TelemetryClient::connect(format!("http://{address}"))
        .await
        .expect("it listens");
    let answers = client.report(futures::stream::iter(batches)).await;
    let mut answers = answers.expect("it is taken").into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.expect("an answer") {
        told.push((answer.accepted, answer.duplicates));
    }
    told
}

#[tokio::test]
async fn a_report_that_is_sent_again_after_its_stream_broke_counts_once() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&notebook_pool(0, 1, 2), &data);
    let begin = Timestamp::from_millis(now_nanos() as i64 / 1_000_000) - Duration::from_mins(1);
    let report = |user: &str, values| report(begin, user, values);
    let (first, more) = (report("ada", 0..20), report("ada", 10..30));
    let told = reported(server.address(), vec![first.clone(), first.clone()]).await;
    assert_eq!(told, [(20, 0), (20, 20)]);

    // This one breaks before there is an answer.
    let (batches, sent) = tokio::sync::mpsc::channel(1);
    batches.send(more.clone()).await.expect("there is room");
    let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
    let mut client = TelemetryClient::connect(format!("http://{}", server.address()))
        .await
        .expect("it listens");
    let broken = client.report(stream).await.expect("it is begun");
    until("the batch is taken", || {
        (metric(&server, "ada", "cpu")?.1 == 30).then_some(())
    });
    drop((broken, batches, client));
    assert_eq!(reported(server.address(), vec![more]).await, [(20, 20)]);
    assert_eq!(
        metric(&server, "ada", "cpu").map(|(_, count)| count),
        Some(30)
    );

    // Another value of the same time, and the same of another user, are news.
    let mut corrected = report("ada", 0..1);
    corrected.series[0].points[0].value = 0.5;
    let told = reported(server.address(), vec![corrected, report("bob", 0..20)]).await;
    assert_eq!(told, [(1, 0), (20, 0)]);
    server.stop();

    // What is recalled at a start is what the history holds; of one time it keeps the last value.
    let server = Server::start(&notebook_pool(0, 1, 2), &data);
    let count = |user| Some(metric(&server, user, "cpu")?.1);
    until("the shadows are recalled", || {
        (count("ada") == Some(30) && count("bob") == Some(20)).then_some(())
    });
}
