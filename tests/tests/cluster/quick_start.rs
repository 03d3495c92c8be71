//! The commands of the page on several replicas, run as they stand there.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use foreshadow_tests::{binary, skip};

const PAGE: &str = include_str!("../../../docs/cluster.md");
const SECTION: &str = "## Three replicas on one machine";

/// What all ports of the page begin with, and how they end.
const PORTS: &str = "707";
const LAST_DIGITS: [u16; 4] = [0, 1, 2, 9];

/// The blocks of commands of the section.
fn commands() -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(SECTION).expect("the page has the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// What four free ports begin with that end as those of the page do.
fn free_ports() -> u16 {
    let begin = 1_100 + (std::process::id() % 1_000) as u16;
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free = |first: &u16| LAST_DIGITS.iter().all(|last| is_free(first * 10 + last));
    let found = (begin..begin + 1_000).find(all_free);
    found.expect("ports are free")
}

/// A block as it is run: on ports of its own.
fn runnable(block: &str, ports: u16) -> String {
    block.replace(PORTS, &ports.to_string())
}

/// The processes that were started in a folder.
struct StartedIn(PathBuf);

impl StartedIn {
    fn running(&self) -> Vec<String> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let here = all.filter(|process| {
            let folder = fs::read_link(process.path().join("cwd"));
            folder.is_ok_and(|folder| folder.starts_with(&self.0))
        });
        here.filter_map(|process| process.file_name().into_string().ok())
            .collect()
    }
}

impl Drop for StartedIn {
    fn drop(&mut self) {
        for pid in self.running() {
            let _ended = Command::new("kill").args(["-9", &pid]).status();
        }
    }
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn has_postgres() -> bool {
    has("initdb") || Path::new("/usr/lib/postgresql").is_dir()
}

#[test]
fn every_command_for_three_replicas_on_one_machine_does_what_it_says() {
    if !has("curl") || !has("python3") || !has("bash") || !has_postgres() {
        return skip("three replicas on one machine need curl, python3, bash and postgresql");
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = fs::canonicalize(folder.path()).expect("it is there");
    let _started = StartedIn(folder.clone());
    let ports = free_ports();
    let names = ["database", "config", "serve", "lost", "end"];
    let commands = commands();
    assert_eq!(commands.len(), names.len(), "{commands:?}");
    let mut script = format!(
        r#"set -euo pipefail
export PATH="{}:$PATH"
trap 'status=$?; kill -9 $(jobs -p) 2>/dev/null; [ -z "${{database:-}}" ] || as pg_ctl stop --mode immediate --pgdata "$database"; exit $status' EXIT
"#,
        binary().parent().expect("it is in a folder").display()
    );
    for (name, block) in names.into_iter().zip(commands) {
        let _ = writeln!(script, "{{\n{}}} > {name}.out", runnable(block, ports));
    }
    script += "trap - EXIT\n";
    // Its commands look for processes by their arguments, and must not find their own text there.
    let file = folder.join("page.sh");
    fs::write(&file, &script).expect("the folder is writable");
    let ran = Command::new("bash")
        .arg(&file)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output();
    let ran = ran.expect("there is a bash");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script}\n{errors}");

    let said =
        |name: &str| fs::read_to_string(folder.join(format!("{name}.out"))).expect("it was run");
    let (serve, lost) = (said("serve"), said("lost"));
    for owner in ["r0", "r1", "r2"] {
        assert!(serve.contains(owner), "{owner} has nothing: {serve}");
    }
    assert!(serve.contains("notebook"), "{serve}");
    assert!(lost.contains("notebook"), "{lost}");
    assert!(lost.contains("(6 rows)"), "{lost}");
    assert!(
        !lost.contains("r0"),
        "a shard is still with the lost one: {lost}"
    );
}
