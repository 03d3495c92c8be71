//! Bad input gets one clear line on stderr and exit code 2, never a panic.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
};

use foreshadow_tests::{Server, foreshadow};

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("foreshadow-cli-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

#[track_caller]
fn refused(args: &[&str], named: &[&str]) {
    let output = foreshadow(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    let error: Vec<_> = stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(
        error.len(),
        1,
        "{args:?} says more or less than one line: {stderr}"
    );
    for name in named {
        assert!(
            error[0].contains(name),
            "{args:?} does not name {name}: {stderr}"
        );
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_corrupt_file_is_named() {
    let file = scratch("corrupt").join("requests.parquet");
    fs::write(&file, b"PAR1 this is no parquet PAR1").expect("the file can be written");
    let path = file.to_str().expect("the path is text");
    refused(&["backtest", "--requests", path], &["requests.parquet"]);
    refused(
        &["train", "--history", path, "--out", "/tmp/unused"],
        &["requests.parquet"],
    );
    refused(
        &[
            "evaluate",
            "--history",
            path,
            "--metrics",
            "cpu",
            "--models",
            "naive",
        ],
        &["requests.parquet"],
    );
}

#[test]
fn a_missing_file_is_named() {
    refused(
        &["backtest", "--requests", "/nowhere/requests.parquet"],
        &["/nowhere"],
    );
}

#[test]
fn a_negative_duration_is_refused() {
    refused(
        &["backtest", "--requests", "x.parquet", "--startup=-5s"],
        &["-5s"],
    );
    refused(
        &["backtest", "--requests", "x.parquet", "--tick=0s"],
        &["tick"],
    );
}

#[test]
fn a_hit_rate_outside_its_range_is_refused() {
    refused(
        &["backtest", "--requests", "x.parquet", "--hit-rates", "1.5"],
        &["1.5"],
    );
    refused(
        &["backtest", "--requests", "x.parquet", "--policies", "magic"],
        &["magic"],
    );
}

#[test]
fn a_malformed_configuration_names_file_and_line() {
    let file = scratch("config").join("foreshadow.toml");
    let path = file.to_str().expect("the path is text");
    fs::write(&file, "tick = \"60s\"\nspeed = 9\n").expect("the file can be written");
    refused(
        &["serve", "--config", path],
        &["foreshadow.toml", "line 2", "speed"],
    );
    fs::write(&file, "[[pool]\n").expect("the file can be written");
    refused(&["serve", "--config", path], &["foreshadow.toml", "line 1"]);
    refused(&["serve", "--config", "/nowhere.toml"], &["/nowhere.toml"]);
}

#[test]
fn a_server_beyond_loopback_needs_a_token() {
    refused(&["serve", "--listen", "0.0.0.0:0"], &["0.0.0.0", "token"]);
    refused(&["serve", "--listen", "somewhere"], &["somewhere"]);
}

#[test]
fn unknown_flags_are_usage_errors() {
    refused(&["backtest", "--speed", "9"], &["--speed"]);
}

/// Two days of requests of one pool, busy by day.
fn request_log(folder: &std::path::Path) -> PathBuf {
    let busy = |minute: &i64| (480..1200).contains(&(minute % 1440)) || minute % 20 == 0;
    let rows = (0..2 * 1440)
        .filter(busy)
        .map(|minute| format!("{},small,ada\n", minute * 60 + 7));
    let csv: String = std::iter::once("timestamp,pool,user_id\n".to_owned())
        .chain(rows)
        .collect();
    let (text, log) = (folder.join("log.csv"), folder.join("log.parquet"));
    fs::write(&text, csv).expect("the log can be written");
    let paths = [&text, &log].map(|path| path.to_str().expect("the path is text"));
    let output = foreshadow(&["import", "csv", paths[0], "--out", paths[1]]);
    assert!(output.status.success(), "{output:?}");
    log
}

/// Imports a log of these lines under a header.
fn imported(folder: &std::path::Path, header: &str, lines: &[&str]) -> String {
    let csv: Vec<&str> = std::iter::once(header)
        .chain(lines.iter().copied())
        .collect();
    let (text, log) = (folder.join("log.csv"), folder.join("log.parquet"));
    fs::write(&text, csv.join("\n")).expect("the log can be written");
    let paths = [&text, &log].map(|path| path.to_str().expect("the path is text"));
    let output = foreshadow(&["import", "csv", paths[0], "--out", paths[1]]);
    assert!(output.status.success(), "{output:?}");
    paths[1].to_owned()
}

#[test]
fn requests_share_instances_by_key_and_by_room() {
    let folder = scratch("sharing");
    // Every ten minutes two requests for nine minutes each: of one key, or of none.
    let lines = |keys: [&str; 2]| -> Vec<String> {
        (0..200)
            .flat_map(|round| keys.map(|key| format!("{},small,540000,{key}", round * 600)))
            .collect()
    };
    let replayed = |keys: [&str; 2], flags: &[&str]| {
        let lines = lines(keys);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let log = imported(&folder, "timestamp,pool,hold_ms,merge_key", &lines);
        let given = ["backtest", "--requests", &log, "--format", "json"];
        let policies = [
            "--policies",
            "static,hybrid-histogram,clairvoyant,foreshadow",
        ];
        let args = [&given[..], &policies, &["--hit-rates", "0.95"], flags].concat();
        let output = foreshadow(&args);
        assert!(output.status.success(), "{output:?}");
        let json: serde_json::Value =
            serde_json::from_slice(&output.stdout).expect("one JSON document");
        json["policies"].as_array().expect("rows").clone()
    };
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().expect("a number");
    for row in replayed(["", ""], &[]) {
        assert!(row.get("merged_rate").is_none(), "{row}");
    }
    for (keys, flags) in [(["", ""], &["--share", "2"][..]), (["a", "a"], &[])] {
        for row in replayed(keys, flags) {
            let merged = number(&row, "merged_rate");
            assert!(merged > 0.45 && merged <= 0.5, "{row}");
            assert!(number(&row, "hit_rate") >= 0.95, "{row}");
        }
    }
    let log = imported(
        &folder,
        "timestamp,pool,merge_key",
        &["0,small,a", "9,small,a"],
    );
    refused(
        &["backtest", "--requests", &log, "--share", "2"],
        &["--share", "`small`", "hold_ms"],
    );
    refused(
        &["backtest", "--requests", &log, "--max-instances", "2"],
        &["--max-instances", "merge_key"],
    );
    refused(
        &["backtest", "--requests", &log, "--share", "0"],
        &["--share"],
    );
}

#[test]
fn a_model_of_pools_is_used_by_a_backtest_and_refused_when_damaged_or_too_new() {
    let folder = scratch("pools");
    let log = request_log(&folder);
    let (log, out) = (log.to_str().expect("text"), folder.join("model"));
    let dir = out.to_str().expect("text");
    let until = "1970-01-02T06:00:00Z";
    let trained = foreshadow(&[
        "train",
        "--history",
        log,
        "--until",
        until,
        "--max-seconds",
        "2",
        "--startup",
        "120s",
        "--out",
        dir,
    ]);
    assert!(trained.status.success(), "{trained:?}");
    let manifest = fs::read_to_string(out.join("manifest.json")).expect("a manifest");
    assert!(manifest.contains("\"pool\": \"small\""), "{manifest}");
    // The pretrained weights have seen what came after.
    assert!(!manifest.contains("begun_with"), "{manifest}");
    let from_nowhere = ["--from", "/nowhere", "--out", "/tmp/unused"];
    let train = [&["train", "--history", log], &from_nowhere[..]].concat();
    refused(&train, &["--from: ", "/nowhere"]);

    let backtest = |from: &'static str, startup: &'static str| {
        vec![
            "backtest",
            "--requests",
            log,
            "--model",
            dir,
            "--from",
            from,
            "--startup",
            startup,
            "--policies",
            "foreshadow",
            "--hit-rates",
            "0.9",
            "--format",
            "json",
        ]
    };
    let used = foreshadow(&backtest("1970-01-02T12:00:00Z", "120s"));
    assert!(used.status.success(), "{used:?}");
    let json = String::from_utf8_lossy(&used.stdout);
    assert!(json.contains("\"under_forecast\""), "{json}");

    refused(
        &backtest("1970-01-02T01:00:00Z", "120s"),
        &["--model", "--until"],
    );
    refused(
        &backtest("1970-01-02T12:00:00Z", "10s"),
        &["--startup", "small"],
    );
    fs::write(out.join("pools/0000.demand"), b"FSDEMAND then nothing").expect("it can be written");
    refused(
        &backtest("1970-01-02T12:00:00Z", "120s"),
        &["0000.demand", "train again"],
    );
}

#[test]
fn a_variable_at_fault_is_named() {
    let mut command = Command::new(foreshadow_tests::binary());
    let output = command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            "/nowhere/at/all",
        ])
        .env("FORESHADOW__TIKC", "5s")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("FORESHADOW__TIKC: unknown field `tikc`"),
        "{said}"
    );
}

#[test]
fn a_graphics_card_that_is_not_to_be_had_is_told_before_data_is_touched() {
    let data = scratch("device").join("data");
    let output = Command::new(foreshadow_tests::binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .env("FORESHADOW__DEVICE", "gpu")
        .env_remove("FORESHADOW_SOFTWARE_GPU")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: device: "), "{said}");
    assert!(said.contains("--features gpu"), "how to mend it: {said}");
    assert!(!data.exists(), "nothing was written");
    let history = ["--history", "/nowhere", "--device", "gpu"];
    refused(&[&["evaluate"], &history[..]].concat(), &["--device: "]);
    let train = [&["train", "--out", "/nowhere"], &history[..]].concat();
    refused(&train, &["--device: ", "--features gpu"]);
}

/// The exit code of a command that asks a server which gives this answer to everything.
fn answered(answer: &'static str) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("it has one"));
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody asks");
        let mut asked = [0; 4_096];
        let _ = stream.read(&mut asked);
        let length = answer
            .split_once("\r\n\r\n")
            .map_or(0, |(_, body)| body.len());
        let (status, rest) = answer.split_once("\r\n").expect("a status line");
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{rest}"
        );
    });
    let output = foreshadow(&["pools", "--server", &server]);
    answering.join().expect("it was asked");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_server_that_fails_is_no_bad_input_and_a_refused_request_is() {
    for (answer, code, named) in [
        (
            "503 Unavailable\r\n\r\n{\"message\": \"starting\"}",
            1,
            "starting",
        ),
        ("500 Internal\r\n\r\n", 1, "status 500"),
        ("429 Too Many\r\n\r\n{\"message\": \"later\"}", 1, "later"),
        ("200 OK\r\n\r\nnonsense", 1, "not understood"),
        (
            "401 Unauthorized\r\n\r\n{\"message\": \"the token\"}",
            2,
            "the token",
        ),
        (
            "404 Not Found\r\n\r\n{\"message\": \"no such pool\"}",
            2,
            "no such pool",
        ),
    ] {
        let (found, said) = answered(answer);
        assert_eq!(found, Some(code), "{answer}: {said}");
        assert!(said.contains(named), "{answer}: {said}");
    }
    let nobody = foreshadow(&["pools", "--server", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert!(said.contains("no server answers there"), "{said}");
    refused(&["pools", "--server", "no url"], &["--server no url"]);
    refused(&["pools", "--ca", "/nowhere.pem"], &["--ca /nowhere.pem"]);
}

#[test]
fn pages_of_the_manual_go_into_a_folder_that_is_made() {
    let folder = scratch("man").join("a/b");
    let path = folder.to_str().expect("the path is text");
    let written = foreshadow(&["man", "--out", path]);
    assert!(written.status.success(), "{written:?}");
    assert!(folder.join("foreshadow-serve.1").exists());
    let file = folder.join("foreshadow.1");
    let file = file.to_str().expect("the path is text");
    refused(&["man", "--out", file], &["--out", file]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(foreshadow_tests::binary())
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_overview_goes_on_where_a_server_is_away_for_a_while() {
    let data = scratch("top").join("data");
    let config = foreshadow_tests::notebook_pool(0, 1, 2);
    let server = Server::start(&config, &data);
    let url = format!("http://{}", server.address());
    let mut child = Command::new(foreshadow_tests::binary())
        .args(["top", "--server", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut shown = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut seen = |wanted: &str| {
        let found = shown.by_ref().map_while(Result::ok);
        found.take(500).any(|line| line.contains(wanted))
    };
    assert!(seen("notebook"), "it shows the pools");
    server.stop();
    assert!(seen("not renewed since"), "it says that nobody answers");
    assert!(seen("notebook"), "what was seen last stays");
    child.kill().expect("it goes on until it is ended");
    let _ = child.wait();
}
