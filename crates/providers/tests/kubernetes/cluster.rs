//! A real control plane with hollow nodes, started for a test by the program that
//! `FORESHADOW_KUBERNETES` names.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tempfile::TempDir;

/// The folder of `up` and `down`, if there is one: the one named, or one beside the repository.
fn programs() -> Option<PathBuf> {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let beside = around.map(|folder| folder.join("shared/kubernetes"));
    let named = std::env::var_os("FORESHADOW_KUBERNETES").map(PathBuf::from);
    let mut folders: Box<dyn Iterator<Item = PathBuf>> = match named {
        Some(folder) => Box::new(std::iter::once(folder)),
        None => Box::new(beside),
    };
    folders.find(|folder| folder.join("up").is_file())
}

/// A control plane; it ends with this.
pub(crate) struct Cluster {
    programs: PathBuf,
    state: TempDir,
    kubeconfig: PathBuf,
    nodes: u32,
    /// Parts that were started again.
    restarted: Mutex<Vec<Child>>,
}

/// The control plane that tests share which do it no harm.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    /// The control plane that is running for other tests, or one that is started; none if there is
    /// nothing to start, which is told.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start(1)?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// A control plane for one test alone, which may break it.
    pub(crate) fn start(nodes: u32) -> Option<Self> {
        let Some(programs) = programs() else {
            skip("needs a control plane; name the folder of `up` in FORESHADOW_KUBERNETES");
            return None;
        };
        let state = tempfile::tempdir().unwrap();
        let ports = free_ports(4 + 2 * (nodes + 1) as u16);
        let ended = Command::new(programs.join("up"))
            .arg(state.path())
            .arg(nodes.to_string())
            .env("KUBE_PORT", ports.to_string())
            .env("KUBE_ETCD_PORT", (ports + 1).to_string())
            .env("KUBE_KUBELET_PORT", (ports + 2).to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        let kubeconfig = state.path().join("kubeconfig");
        let cluster = Self {
            programs,
            state,
            kubeconfig,
            nodes,
            restarted: Mutex::default(),
        };
        assert!(ended.status.success(), "the control plane does not start");
        Some(cluster)
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes as usize
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// The process of a part of the control plane.
    fn pid(&self, part: &str) -> String {
        let file = self.state.path().join(format!("{part}.pid"));
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Kills a part of the control plane, and says how it was started.
    pub(crate) fn kill(&self, part: &str) -> Vec<String> {
        let pid = self.pid(part);
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let words = line
            .split(|&byte| byte == 0)
            .filter(|word| !word.is_empty());
        let words = words.map(|word| String::from_utf8(word.to_vec()).unwrap());
        let words = words.collect();
        let status = Command::new("kill").args(["-9", &pid]).status();
        assert!(status.unwrap().success());
        words
    }

    /// Starts a part of the control plane again.
    pub(crate) fn restart(&self, part: &str, words: &[String]) {
        let log = std::fs::File::create(self.state.path().join(format!("{part}-2.log"))).unwrap();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(self.state.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let file = self.state.path().join(format!("{part}.pid"));
        std::fs::write(file, child.id().to_string()).unwrap();
        let mut restarted = self.restarted.lock().unwrap();
        restarted.push(child);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let restarted = self.restarted.get_mut();
        for child in restarted.unwrap_or_else(PoisonError::into_inner) {
            let _killed = child.kill();
            let _status = child.wait();
        }
        let down = self.programs.join("down");
        let _status = Command::new(down).arg(self.state.path()).status();
    }
}

/// The first of so many ports in a row that nobody listens on.
fn free_ports(count: u16) -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let Some(end) = port.checked_add(count) else {
            continue;
        };
        let others: Result<Vec<_>, _> = (port + 1..end)
            .map(|port| TcpListener::bind(("127.0.0.1", port)))
            .collect();
        if others.is_ok() {
            return port;
        }
    }
}

/// Says that a test cannot run here; where none may be skipped, that is a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("FORESHADOW_NO_SKIP").is_none(),
        "not skipped: {reason}"
    );
    eprintln!("skipped: {reason}");
}
