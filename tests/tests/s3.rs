//! History in an object store, against a server that speaks S3: moto, `moto[s3,server]` of pip, as
//! `moto_server` on the path or as `FORESHADOW_MOTO` names it. The binary must have been built with the
//! feature `s3`.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use foreshadow_history::{RequestRecord, RequestWriter, UsageWriter};
use foreshadow_tests::{Server, binary, skip, until};
use foreshadow_types::{EntityId, PoolName, Timestamp, UserId};
use serde_json::Value;
use tempfile::TempDir;

const BUCKET: &str = "history";

/// A store of its own with one bucket; it ends with this value.
struct Store {
    child: Child,
    address: String,
}

impl Store {
    /// `None`, and a word about it, where there is no such server.
    fn start() -> Option<Self> {
        let program = std::env::var("FORESHADOW_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        drop(listener);
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            skip(&format!(
                "`{program}` cannot be started; `pip install 'moto[s3,server]'` has it"
            ));
            return None;
        };
        let store = Self {
            child,
            address: address.to_string(),
        };
        until("the store", || TcpStream::connect(&store.address).ok());
        assert_eq!(store.call("PUT", &format!("/{BUCKET}"), b"").0, 200);
        Some(store)
    }

    /// What its clients find in their environment.
    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
        ]
    }

    /// A call without a signature, which moto does not ask for.
    fn call(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut connection = TcpStream::connect(&self.address).expect("the store listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        connection.write_all(head.as_bytes()).expect("it is sent");
        connection.write_all(body).expect("it is sent");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).expect("it answers");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (
            status.expect("an answer has a status"),
            answer[end + 4..].to_vec(),
        )
    }

    fn put(&self, key: &str, file: &Path) {
        let bytes = std::fs::read(file).expect("the file is there");
        let (status, _) = self.call("PUT", &format!("/{BUCKET}/{key}"), &bytes);
        assert_eq!(status, 200);
    }

    /// The names of all objects below a prefix.
    fn keys(&self, prefix: &str) -> Vec<String> {
        let path = format!("/{BUCKET}?list-type=2&prefix={prefix}");
        let (status, body) = self.call("GET", &path, b"");
        assert_eq!(status, 200);
        let body = String::from_utf8_lossy(&body).into_owned();
        let keys = body.split("<Key>").skip(1);
        keys.map(|rest| rest.split("</Key>").next().unwrap_or("").to_owned())
            .collect()
    }

    fn foreshadow(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .envs(self.variables())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts")
    }

    fn serve(&self, config: &str, data: &Path) -> Server {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Server::start_with(config, data, &variables)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.expect("the clock is past 1970").as_millis() as i64
}

fn usage(path: &Path, first_ms: i64, samples: i64) {
    let mut writer = UsageWriter::create(path, &["cpu"]).expect("it can be created");
    for sample in 0..samples {
        let at = Timestamp::from_millis(first_ms + sample * 60_000);
        let entity = EntityId::new("ada").expect("a name");
        let value = (sample % 7) as f64;
        writer
            .write(at, &entity, &[Some(value)])
            .expect("it can be written");
    }
    writer.finish().expect("it can be finished");
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn commands_read_objects_as_they_read_files() {
    let Some(store) = Store::start() else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        let path = folder.path().join(format!("{name}.parquet"));
        usage(&path, number as i64 * 200 * 60_000, 200);
        store.put(&format!("usage/{name}.parquet"), &path);
    }
    let evaluate = |history: &str| {
        let protocol = [
            "--metrics",
            "cpu",
            "--interval",
            "1m",
            "--horizon",
            "4",
            "--windows",
            "2",
            "--season",
            "7",
            "--models",
            "naive,seasonal-naive",
            "--format",
            "json",
        ];
        let mut args = vec!["evaluate", "--history", history];
        args.extend(protocol);
        let mut report = json(&store.foreshadow(&args));
        for model in report["models"].as_array_mut().expect("models are listed") {
            model["seconds"] = Value::Null;
        }
        report
    };
    let local = evaluate(folder.path().to_str().expect("the path is text"));
    for remote in [
        "s3://history/usage",
        "s3://history/usage/",
        "s3://history/usage/*.parquet",
        "s3://history",
    ] {
        assert_eq!(evaluate(remote), local, "{remote}");
    }
    let missing = store.foreshadow(&[
        "evaluate",
        "--history",
        "s3://history/absent",
        "--metrics",
        "cpu",
        "--interval",
        "1m",
        "--horizon",
        "4",
        "--windows",
        "2",
        "--season",
        "7",
        "--models",
        "naive",
    ]);
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("s3://history/absent"), "{said}");
}

#[test]
fn a_log_of_several_pieces_is_put_whole_and_read_back() {
    let Some(store) = Store::start() else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let local = folder.path().join("requests.parquet");
    // Names that cannot be packed, so that the file is larger than one piece.
    let mut writer = RequestWriter::create(&local).expect("it can be created");
    let mut state = 1_u64;
    for number in 0..500_000 {
        let mut name = String::new();
        for _ in 0..2 {
            state = state
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            let digits = format!("{:016x}", state ^ (state >> 29));
            name.push_str(&digits);
        }
        let record = RequestRecord {
            at: Timestamp::from_millis(number * 1_000),
            user: UserId::new(&name).ok(),
            application: None,
            pool: PoolName::new("web").expect("a name"),
            hold: None,
            vcpus: None,
            memory: None,
            merge_key: None,
        };
        writer.write(&record).expect("it can be written");
    }
    writer.finish().expect("it can be finished");
    let size = std::fs::metadata(&local).expect("it is there").len();
    assert!(size > 9 << 20, "{size} bytes are one piece");
    store.put("log/requests.parquet", &local);
    let csv = folder.path().join("requests.csv");
    export_csv(&local, &csv);
    let imported = store.foreshadow(&[
        "import",
        "csv",
        csv.to_str().expect("text"),
        "--out",
        "s3://history/copy/requests.parquet",
    ]);
    assert!(imported.status.success(), "{imported:?}");
    let (_, object) = store.call("GET", "/history/copy/requests.parquet", b"");
    assert!(object.len() > 9 << 20 && object.starts_with(b"PAR1") && object.ends_with(b"PAR1"));
}

/// The log as text.
fn export_csv(from: &Path, to: &Path) {
    let paths = foreshadow_history::HistoryPaths::expand(&[from]).expect("it is there");
    let records = foreshadow_history::RequestReader::open(&paths).expect("it is a log");
    let mut text = "timestamp,user_id,pool\n".to_owned();
    for record in records {
        let record = record.expect("it is whole");
        let user = record.user.expect("each has one");
        let line = format!("{},{user},{}\n", record.at, record.pool);
        text.push_str(&line);
    }
    std::fs::write(to, text).expect("it can be written");
}

const CONFIG: &str = r#"
keep_history = "100d"
[history]
folder = "s3://history/prod"
downsample = [{ after = "2d", interval = "5m" }]
[[telemetry.mapping]]
metric = "app.sessions"
application = "{service.name}"
as = "sessions"
"#;

fn export(service: &str, value: i64) -> String {
    let at = (now_ms() - (60 - value) * 1_000) * 1_000_000;
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":
        {{"stringValue":"{service}"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"app.sessions",
        "gauge":{{"dataPoints":[{{"timeUnixNano":"{at}","asInt":"{value}"}}]}}}}]}}]}}]}}"#
    )
}

/// Puts a day's two files into the store as an earlier run would have left them.
fn day_of_two_files(store: &Store, folder: &Path, days_ago: i64, first: u64) {
    let day_ms = 86_400_000;
    let begin = (now_ms() / day_ms - days_ago) * day_ms;
    let day: String = Timestamp::from_millis(begin)
        .to_string()
        .chars()
        .take(10)
        .collect();
    for number in [first, first + 1] {
        let file: PathBuf = folder.join(format!("{number}.parquet"));
        usage(&file, begin + number as i64 * 3_600_000, 60);
        store.put(
            &format!("prod/usage/date={day}/{begin}-{number}.parquet"),
            &file,
        );
    }
}

#[test]
fn a_server_keeps_its_history_in_the_store_through_a_crash() {
    let Some(store) = Store::start() else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    day_of_two_files(&store, folder.path(), 300, 1);
    day_of_two_files(&store, folder.path(), 30, 3);
    day_of_two_files(&store, folder.path(), 1, 5);
    let data = folder.path().join("data");
    let server = store.serve(CONFIG, &data);
    // The oldest day goes, the next becomes one file of means, the last one file.
    let kept = until("the upkeep of past days", || {
        let keys = store.keys("prod/usage/");
        (keys.len() == 2 && keys[0].contains("_300000-3-4")).then_some(keys)
    });
    assert!(kept[1].ends_with("-5-6.parquet"), "{kept:?}");

    for value in 0..20 {
        let (status, body) = server.http("POST", "/v1/metrics", &export("checkout", value));
        assert_eq!((status, body.as_str()), (200, "{}"));
    }
    server.kill();
    assert_eq!(store.keys("prod/usage/").len(), 2, "nothing was sealed yet");
    let server = store.serve(CONFIG, &data);
    assert_eq!(
        store.keys("prod/usage/").len(),
        3,
        "the journal was sealed at the start"
    );
    let then = Timestamp::from_millis(now_ms() - 30_000);
    let path = format!("/user/checkout/resource_shadow?at={then}");
    let (status, body) = server.http("GET", &path, "");
    assert_eq!(status, 200, "{body}");
    let shadow: Value = serde_json::from_str(&body).expect("an answer");
    assert_eq!(shadow["metrics"][0]["samples"], "20", "{body}");
    let (status, body) = server.http("DELETE", "/user/checkout", "");
    assert_eq!(status, 200, "{body}");
    let deleted: Value = serde_json::from_str(&body).expect("an answer");
    assert_eq!(deleted["historyRows"], "20", "each sample once: {body}");
    server.stop();
}

#[test]
fn a_store_that_cannot_be_reached_stops_the_start_with_its_name() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[history]\nfolder = \"s3:///nowhere\"\n").expect("it can be written");
    let served = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    assert_eq!(served.status.code(), Some(2));
    let said = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(said.contains("names no bucket"), "{said}");
}
