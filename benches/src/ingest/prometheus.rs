//! Prometheus as a receiver of remote write.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use tempfile::TempDir;

use super::post::Poster;
use crate::process::free_port;

const ATTEMPTS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// A private server in a folder of its own; it ends with this value.
pub(super) struct Prometheus {
    child: Child,
    pub(super) address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one with its defaults and waits until it is ready.
    pub(super) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "")?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("Prometheus is not installed; Debian has `prometheus`")?;
        let started = Self {
            child,
            address,
            _folder: folder,
        };
        started.until_ready()?;
        Ok(started)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn until_ready(&self) -> anyhow::Result<()> {
        let poster = Poster::new(self.address);
        for _ in 0..ATTEMPTS {
            if poster.get("/-/ready").is_ok() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        anyhow::bail!("Prometheus did not get ready")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
