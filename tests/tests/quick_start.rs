//! The commands of the quick start, run as they stand on the page.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use foreshadow_tests::{binary, skip};

const PAGE: &str = include_str!("../../docs/quick-start.md");

/// What stands before the commands of the page: a port of our own for the one that it uses.
fn beginning(port: u16) -> String {
    format!(
        r#"set -euo pipefail
export PATH="{}:$PATH"
export FORESHADOW_LISTEN=127.0.0.1:{port} FORESHADOW_SERVER=http://127.0.0.1:{port}
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
warm() {{
  for _ in $(seq 300); do
    if foreshadow pools --format json 2>/dev/null | grep -q '"ready": *1'; then return; fi
    sleep 0.1
  done
  echo "no instance is warm" >&2
  exit 1
}}
address() {{ grep -o '"address":"[^"]*"' "$1" | cut -d '"' -f 4; }}
"#,
        binary().parent().expect("it is in a folder").display()
    )
}

/// The code blocks of the page in this language.
fn blocks<'a>(language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let after = PAGE
        .match_indices(&fence)
        .map(move |(at, fence)| at + fence.len());
    let after: Vec<usize> = after.collect();
    let blocks = after.into_iter().map(|at| &PAGE[at..]);
    blocks.filter_map(|rest| rest.split("```").next())
}

/// A block as it is run: the reader's shell knows the program by an alias, and types in the address
/// that the claim was answered with.
fn runnable(block: &str, port: u16) -> String {
    let mut lines = String::new();
    for line in block.lines() {
        let line = line.replace(":7070", &format!(":{port}"));
        let own =
            line.starts_with("curl http://127.0.0.1:") && line.contains("address of the answer");
        if own {
            lines += "curl -sS \"http://$(address claim.out)/\"\n";
        } else if !line.starts_with("alias ") {
            let _ = writeln!(lines, "{}", line.replace("curl ", "curl -sS --fail "));
        }
        if line.ends_with('&') {
            lines += "warm\n";
        }
    }
    lines
}

/// Four weeks of office hours.
fn write_requests(to: &Path) {
    let mut log = "timestamp,user_id,application_id,pool,hold_ms\n".to_owned();
    for day in 0..28 {
        let works = day % 7 < 5;
        for minute in (8 * 60..18 * 60).step_by(if works { 9 } else { 120 }) {
            let (hour, minute) = (minute / 60, (minute + day * 7) % 60);
            let date = day + 1;
            let user = (day * 31 + minute) % 12;
            let _ = writeln!(
                log,
                "2026-03-{date:02}T{hour:02}:{minute:02}:11Z,user-{user},notebook,notebook,600000"
            );
        }
    }
    fs::write(to, log).expect("it can be written");
}

#[test]
fn every_command_of_the_quick_start_does_what_it_says() {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !has("curl") || !has("python3") || !has("bash") {
        return skip("the quick start needs curl, python3 and bash");
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a port is free").port();
    let config = blocks("toml").next().expect("the page has a configuration");
    fs::write(folder.path().join("foreshadow.toml"), config).expect("it can be written");
    write_requests(&folder.path().join("requests.csv"));

    let names = ["serve", "claim", "use", "backtest"];
    let commands: Vec<&str> = blocks("sh")
        .filter(|block| !block.contains("cargo run"))
        .collect();
    assert_eq!(commands.len(), names.len(), "{commands:?}");
    let mut script = beginning(port);
    for (name, block) in names.into_iter().zip(commands) {
        let _ = writeln!(script, "{{\n{}}} > {name}.out", runnable(block, port));
    }
    let ran = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output();
    let ran = ran.expect("there is a bash");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script}\n{errors}");

    let said = |name: &str| {
        let file = folder.path().join(format!("{name}.out"));
        fs::read_to_string(file).expect("it was run")
    };
    for (name, parts) in [
        ("serve", &["listening on", "pool ", "notebook"][..]),
        (
            "claim",
            &["\"state\":\"GRANTED\"", "\"fencingToken\":\"1\""],
        ),
        (
            "use",
            &["Directory listing", "a-1", "notebook at", "RELEASED"],
        ),
        (
            "backtest",
            &["foreshadow", "static", "reactive", "holt-winters"],
        ),
    ] {
        let said = said(name);
        for part in parts {
            assert!(said.contains(part), "{name} does not say {part}: {said}");
        }
    }
    let report = fs::read_to_string(folder.path().join("report/index.html"));
    assert!(report.expect("it is written").contains("<svg"));
}
