//! Training beside a server that serves, in a process of its own.

#![expect(clippy::disallowed_methods, reason = "the past ends now")]

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use foreshadow_history::{RequestRecord, RequestWriter, UsageWriter};
use foreshadow_tests::{Server, foreshadow, notebook_pool};
use foreshadow_types::{EntityId, PoolName, Timestamp};
use serde_json::Value;

/// A day of minutes of one user, which a server finds when it starts.
fn write_usage(data: &Path) {
    let folder = data.join("history/usage");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let mut writer = UsageWriter::create(&folder.join("1.parquet"), &["cpu"]).expect("a file");
    let entity = EntityId::new("ada").expect("a name");
    for minute in 0..1440_u64 {
        let at = Timestamp::from_millis(1_790_000_000_000) + Duration::from_mins(minute);
        let value = (minute * 41 % 101) as f64 / 10.0;
        writer.write(at, &entity, &[Some(value)]).expect("a row");
    }
    writer.finish().expect("a file");
}

fn json(answer: &(u16, String)) -> Value {
    assert_eq!(answer.0, 200, "{}", answer.1);
    serde_json::from_str(&answer.1).expect("it is JSON")
}

/// What became of the first training, when there is one.
fn latest_training(server: &Server) -> String {
    // Beside other work a training and a replay take their time.
    for _ in 0..240 {
        let models = json(&server.http("GET", "/admin/models", ""));
        if let Some(latest) = models["latestTraining"]
            .as_str()
            .filter(|told| !told.is_empty())
        {
            return latest.to_owned();
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    panic!("no training has ended");
}

#[test]
fn a_training_without_enough_memory_is_told_everywhere_and_harms_nothing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_usage(folder.path());
    let retrain = "[retrain]\nevery = \"24h\"\nmemory = \"64MiB\"\n";
    let log = folder.path().join("stderr");
    let config = notebook_pool(100, 1, 4) + retrain;
    let server = Server::start_with_stderr(&config, folder.path(), &log, &[]);
    json(&server.http("POST", "/admin/retrain", "{}"));
    let latest = latest_training(&server);
    let why = "needed more than the 64MiB of memory";
    assert!(latest.contains(why), "{latest}");
    let mend = "raise `memory` in [retrain]";
    assert!(latest.contains(mend), "{latest}");

    let listed = foreshadow(&[
        "models",
        "--server",
        &format!("http://{}", server.address()),
    ]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(why), "{listed}");
    let audited = json(&server.http("GET", "/admin/audit", ""));
    let written = audited["events"].as_array().into_iter().flatten();
    let mut written = written.filter(|event| event["who"] == "retraining");
    let refusal = written.next().map(|event| event["refusal"].to_string());
    assert!(
        refusal.is_some_and(|refusal| refusal.contains(why)),
        "{audited}"
    );
    let logged = std::fs::read_to_string(&log).expect("the log can be read");
    assert!(logged.contains(why), "{logged}");

    // The service goes on.
    let ask = r#"{"userId": "ada", "pool": "notebook"}"#;
    let answer = server.http("POST", "/api/v1/allocations", ask);
    assert!(json(&answer)["allocationId"].is_string(), "{answer:?}");
    server.stop();
}

/// A day and a half in which two users are busy in one minute of seven, which neither the latest value nor
/// yesterday tells; and three requests in each such minute of the first.
fn write_rhythm(data: &Path) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_epoch.expect("the clock is past 1970").as_secs();
    let minutes = 36 * 60;
    let begin = Timestamp::from_millis((seconds / 60 - minutes) as i64 * 60_000);
    let folder = |kind: &str| {
        let folder = data.join("history").join(kind);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        folder.join("1.parquet")
    };
    let mut usage = UsageWriter::create(&folder("usage"), &["cpu"]).expect("a file");
    let mut requests = RequestWriter::create(&folder("requests")).expect("a file");
    let pool = PoolName::new("notebook").expect("a name");
    for minute in 0..minutes {
        let at = begin + Duration::from_mins(minute);
        for (name, phase) in [("ada", 0), ("bob", 3)] {
            let busy = (minute + phase) % 7 == 0;
            let value = if busy { 90.0 } else { 10.0 };
            let entity = EntityId::new(name).expect("a name");
            usage.write(at, &entity, &[Some(value)]).expect("a row");
        }
        for second in (0..3).filter(|_| minute % 7 == 0) {
            let request = RequestRecord {
                at: at + Duration::from_secs(10 + second),
                user: None,
                application: None,
                pool: pool.clone(),
                hold: None,
                vcpus: None,
                memory: None,
                merge_key: None,
            };
            requests.write(&request).expect("a row");
        }
    }
    usage.finish().expect("a file");
    requests.finish().expect("a file");
}

#[test]
fn a_candidate_with_better_forecasts_is_promoted_if_it_serves_pools_no_worse() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_rhythm(folder.path());
    let rules = r#"
[[trigger]]
name = "busy"
metric = "cpu"
threshold = 50
within = "2m"
pool = "notebook"
count = 3
entity = "ada"

[retrain]
every = "24h"
max_duration = "40s"
"#;
    // By itself the pool keeps next to nothing.
    let pool = notebook_pool(100, 0, 8)
        .replace("tick = \"1s\"", "tick = \"1m\"")
        .replace("target_hit_rate = 0.9", "target_hit_rate = 0.05");
    // The pretrained model would see through the rhythm at once.
    let config = "pretrained = false\n".to_owned() + &pool + rules;
    let server = Server::start(&config, folder.path());
    json(&server.http("POST", "/admin/retrain", "{}"));
    let latest = latest_training(&server);
    let candidate = folder.path().join("models/candidate-1");
    let report = std::fs::read_to_string(candidate.join("pools.json"));
    let report = report.unwrap_or_else(|error| panic!("{error}: {latest}"));
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    let replayed = &report["pools"][0];
    assert_eq!(replayed["pool"], "notebook");
    // Three in one minute of seven of three hours.
    let requests = replayed["requests"].as_u64().expect("a number");
    assert!((69..=81).contains(&requests), "{report}");
    // Yesterday's rhythm keeps instances in the wrong minutes.
    let hits = |model: &str| replayed[model]["hits"].as_u64().expect("a number");
    let idle_s = |model: &str| replayed[model]["idle_s"].as_f64().expect("a number");
    assert_eq!(hits("current"), 0, "{report}");
    assert!(idle_s("current") > 1_000.0, "{report}");
    // How much the candidate has learnt in so short a time may differ; what follows from it does not.
    let dearer = idle_s("candidate") > 1.05 * idle_s("current") && hits("candidate") == 0;
    assert_eq!(
        latest.starts_with("promoted"),
        !dearer,
        "{latest}: {report}"
    );
    assert!(!candidate.join("pools-case.json").exists());
    server.stop();
}
