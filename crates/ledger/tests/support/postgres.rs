//! A private `PostgreSQL`, in a folder of its own.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const USER: &str = "foreshadow";
const PASSWORD: &str = "correct-horse";

/// A server on a loopback port. It ends with this value.
pub(crate) struct Postgres {
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
    databases: AtomicU32,
    halted: Mutex<Vec<i32>>,
    folder: TempDir,
}

/// Whom the server runs as: it refuses to run as root.
#[derive(Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

/// The server that tests use together, while one of them does.
static COMMON: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// A server for tests that do it no harm and have a database each.
    pub(crate) fn common() -> Option<Arc<Self>> {
        let mut common = COMMON.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = common.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *common = Arc::downgrade(&server);
        Some(server)
    }

    /// Starts a server; none if there is no `PostgreSQL` here and tests may be skipped.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                env::var("FORESHADOW_NO_SKIP").as_deref() != Ok("1"),
                "no initdb in PATH or /usr/lib/postgresql: install the package postgresql"
            );
            eprintln!("skipped: there is no initdb in PATH or /usr/lib/postgresql");
            return None;
        };
        let server = Self {
            programs,
            owner: Owner::of_server(),
            port: free_port(),
            databases: AtomicU32::new(0),
            halted: Mutex::default(),
            folder: tempfile::tempdir().unwrap(),
        };
        server.make();
        server.begin();
        Some(server)
    }

    /// The URL of a new, empty database.
    pub(crate) fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        format!(
            "postgresql://{USER}:{PASSWORD}@127.0.0.1:{}/{name}",
            self.port
        )
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs a statement with rights to all; its rows, one a line.
    pub(crate) fn psql(&self, database: &str, statement: &str) -> String {
        let database = database.rsplit('/').next().unwrap();
        let output = Command::new(self.programs.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
            .args(["-U", USER, "-p", &self.port.to_string()])
            .args(["-d", database, "-c", statement])
            .env("PGPASSWORD", PASSWORD)
            .output();
        checked(output.unwrap(), statement).trim_end().to_owned()
    }

    /// Ends the server as a power failure would, without a word to anyone.
    pub(crate) fn crash(&self) {
        self.control(&["stop", "-m", "immediate"]);
    }

    pub(crate) fn begin(&self) {
        let log = self.folder.path().join("log");
        self.control(&["start", "-l", &log.to_string_lossy()]);
    }

    /// Lets none of the server's processes go on.
    pub(crate) fn halt(&self) {
        let halted = self.processes();
        for &process in &halted {
            signal(process, Signal::STOP);
        }
        *self.halted.lock().unwrap() = halted;
    }

    pub(crate) fn go_on(&self) {
        for process in std::mem::take(&mut *self.halted.lock().unwrap()) {
            signal(process, Signal::CONT);
        }
    }

    /// The server's first process, which starts no others when it is halted, and then those.
    fn processes(&self) -> Vec<i32> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let first = file.lines().next().unwrap().parse().unwrap();
        let others = self.psql("postgres", "SELECT pid FROM pg_stat_activity");
        let others = others.lines().map(|line| line.parse().unwrap());
        std::iter::once(first).chain(others).collect()
    }

    /// Lets clients encrypt their connections.
    pub(crate) fn encrypt(&self, certificate: &str, key: &str) {
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some(owner) = self.owner {
                owner.give(&path);
            }
        }
        self.crash();
        let path = self.data().join("postgresql.auto.conf");
        let settings = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{settings}ssl = on\n")).unwrap();
        self.begin();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn make(&self) {
        let password = self.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if let Some(owner) = self.owner {
            owner.give(self.folder.path());
            owner.give(&password);
        }
        let made = self
            .command("initdb")
            .args([
                "-A",
                "scram-sha-256",
                "-U",
                USER,
                "--no-sync",
                "--no-instructions",
            ])
            .args(["-E", "UTF8", "--no-locale", "--pwfile"])
            .arg(&password)
            .arg("-D")
            .arg(self.data())
            .output();
        checked(made.unwrap(), "initdb");
        let settings = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             shared_buffers = '32MB'\nmax_connections = 50\n",
            self.port
        );
        let path = self.data().join("postgresql.auto.conf");
        fs::write(path, settings).unwrap();
    }

    fn control(&self, arguments: &[&str]) {
        let data = self.data();
        let mut command = self.command("pg_ctl");
        command.args(arguments).arg("-w").arg("-D").arg(data);
        // The server keeps what it inherits, so that its output cannot be waited for.
        let said = self.folder.path().join("said");
        let file = || fs::File::create(&said).unwrap();
        let status = command.stdout(file()).stderr(file()).status().unwrap();
        let said = fs::read_to_string(&said).unwrap_or_default();
        assert!(status.success(), "pg_ctl {arguments:?}: {said}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some(owner) = self.owner {
            owner.run(&mut command);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.go_on();
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-m", "immediate", "-w", "-D"])
            .arg(self.data());
        let _stopped = stop.output();
    }
}

impl Owner {
    /// The user `postgres`, or nobody, if we are root.
    fn of_server() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let found = ["postgres", "nobody"].iter().find_map(|name| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let named = fields.next() == Some(*name);
                let user = fields.nth(1)?.parse().ok()?;
                let group = fields.next()?.parse().ok()?;
                named.then_some(Self { user, group })
            })
        });
        Some(found.expect("root has a user to run the server as"))
    }

    fn give(self, path: &Path) {
        chown(path, Some(self.user), Some(self.group)).unwrap();
    }

    fn run(self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        command.uid(self.user).gid(self.group);
    }
}

fn checked(output: Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The folder of the newest server's programs.
fn programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    let in_path = in_path.and_then(|folder| {
        let program = fs::canonicalize(folder.join("initdb")).ok()?;
        Some(program.parent()?.to_owned())
    });
    in_path.or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let folders = versions.map(|version| version.path().join("bin"));
        folders.filter(|bin| bin.join("initdb").is_file()).max()
    })
}

/// A process may have ended in the meantime.
fn signal(process: i32, signal: Signal) {
    let _sent = kill_process(Pid::from_raw(process).unwrap(), signal);
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
