//! A disk that is full: acknowledgements stop, the server says why and ends, and what it had
//! acknowledged is there when there is room again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use foreshadow_tests::{Server, foreshadow, http, skip};

/// A small file system of its own, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where it may not be mounted.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a folder can be made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(at)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }

    /// Leaves this much room and no more.
    fn fill(&self, left: u64) {
        let ballast = self.0.join("ballast");
        let free = |path: &Path| {
            let output = Command::new("df")
                .args(["-B1", "--output=avail"])
                .arg(path)
                .output();
            let text = String::from_utf8_lossy(&output.expect("df runs").stdout).into_owned();
            let number = text
                .lines()
                .nth(1)
                .and_then(|line| line.trim().parse::<u64>().ok());
            number.expect("df tells the room")
        };
        let size = free(&self.0).saturating_sub(left);
        fs::write(&ballast, vec![1; size as usize]).expect("there is room for the ballast");
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const CONFIG: &str = r#"
tick = "1h"
horizon = "1h"
[[pool]]
name = "small"
provider = "process"
command = ["sh", "-c", "echo ready; exec sleep 4711"]
ready = { stdout = "ready" }
recycle = "reuse"
min = 1
max = 2
"#;

/// Sets quotas, each of them durable before it is acknowledged, until one is not: how many were.
fn quotas_until_refused(address: &str) -> u32 {
    for number in 0..1_000_000 {
        let tenant = format!("tenant-{number}-{}", "x".repeat(200));
        let body = format!(r#"{{"tenantId": "{tenant}", "live": 1}}"#);
        let asked =
            std::panic::catch_unwind(|| http(address, "POST", "/admin/tenant_quota", &body));
        match asked {
            Ok((200, _)) => {}
            Ok((status, body)) => {
                assert_eq!(status, 503, "{body}");
                assert!(body.contains("cannot write"), "{body}");
                return number;
            }
            // The server has ended before it could say so.
            Err(_) => return number,
        }
    }
    panic!("the disk does not get full");
}

#[test]
fn a_full_disk_stops_acknowledgements_and_loses_none() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else {
        return skip("a tmpfs may not be mounted here");
    };
    let data = disk.0.join("data");
    let server = Server::start_with_stderr(CONFIG, &data, &folder.path().join("stderr"), &[]);
    disk.fill(600 << 10);
    let acknowledged = quotas_until_refused(server.address());
    assert!(acknowledged > 0, "the disk was full at once");
    let status = server.wait();
    assert_eq!(status.code(), Some(1), "it ended with {status}");
    let words = fs::read_to_string(folder.path().join("stderr")).expect("it is text");
    assert!(words.contains("cannot write"), "{words}");

    disk.make_room();
    let server = Server::start(CONFIG, &data);
    let (status, body) = server.http("GET", "/admin/tenant_quota", "");
    assert_eq!(status, 200, "{body}");
    let kept = body.matches("tenantId").count();
    assert!(
        kept >= acknowledged as usize,
        "{acknowledged} were acknowledged, {kept} are there"
    );
    server.stop();
}

#[test]
fn a_damaged_ledger_is_refused_whenever_it_is_tried() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let data = folder.path().join("data");
    let server = Server::start(CONFIG, &data);
    for number in 0..2_000 {
        let body = format!(r#"{{"tenantId": "tenant-{number}", "live": 1}}"#);
        let (status, body) = server.http("POST", "/admin/tenant_quota", &body);
        assert_eq!(status, 200, "{body}");
    }
    server.stop();
    let file = data.join("ledger.sqlite");
    let mut bytes = fs::read(&file).expect("the ledger is there");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xA5);
    fs::write(&file, &bytes).expect("the ledger can be written");
    let config = data.with_extension("toml");
    // Nothing is repaired in silence or thrown away: the second try ends as the first.
    for _ in 0..2 {
        let refused = foreshadow(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            &config.display().to_string(),
            "--data",
            &data.display().to_string(),
        ]);
        let words = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{words}");
        assert!(words.contains("is damaged"), "{words}");
    }
    assert!(fs::read(&file).expect("the ledger is there").len() >= bytes.len());
}
