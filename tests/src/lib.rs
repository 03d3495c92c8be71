//! What the end-to-end tests share: the built binary, a server in a process of its own, a plain HTTP
//! client, callers that are known, and patience.

mod callers;
mod programs;
mod until;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub use callers::{Authority, token};
pub use programs::{Running, free_port, installed, python};
pub use until::{PATIENCE, until, until_async};

/// The built binary, which stands beside the tests' own folder.
///
/// # Panics
/// If it has not been built.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/PROFILE/deps");
    let binary = folder.join("foreshadow");
    assert!(
        binary.exists(),
        "{} is not built; run `cargo test --workspace` or `cargo build` first",
        binary.display()
    );
    binary
}

/// Runs a command of the binary to its end.
///
/// # Panics
/// If it cannot be started.
pub fn foreshadow(args: &[&str]) -> Output {
    Command::new(binary())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// A configuration with one pool of small web servers that take `startup_ms` to be ready.
pub fn notebook_pool(startup_ms: u32, min: u32, max: u32) -> String {
    let binary = binary();
    let binary = binary.display();
    format!(
        r#"
tick = "1s"

[[pool]]
name = "notebook"
provider = "process"
command = ["{binary}", "demo-worker", "--port", "{{port}}", "--startup-ms", "{startup_ms}"]
ready = {{ http = "/" }}
hold = "freeze"
shape = {{ vcpus = 1, memory = "256MiB" }}
min = {min}
max = {max}
target_hit_rate = 0.9
expected_startup = "1s"
"#
    )
}

/// `foreshadow serve` in a process of its own; ended in order when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts on a free port and waits until it listens.
    ///
    /// # Panics
    /// If it ends before it listens.
    pub fn start(config: &str, data: &Path) -> Self {
        Self::start_saying(config, data, Stdio::inherit(), &[])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// If it ends before it listens.
    pub fn start_with(config: &str, data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_saying(config, data, Stdio::inherit(), variables)
    }

    /// The same; what it says on stderr goes to a file.
    ///
    /// # Panics
    /// If it ends before it listens, or the file cannot be written.
    pub fn start_with_stderr(
        config: &str,
        data: &Path,
        stderr: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let stderr = std::fs::File::create(stderr).expect("the file can be written");
        Self::start_saying(config, data, stderr.into(), variables)
    }

    fn start_saying(config: &str, data: &Path, stderr: Stdio, variables: &[(&str, &str)]) -> Self {
        let file = data.with_extension("toml");
        std::fs::write(&file, config).expect("the configuration can be written");
        let mut child = Command::new(binary())
            .arg("serve")
            .args(["--listen", "127.0.0.1:0"])
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(data)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("stdout is text");
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| {
                panic!("the server ended before it listened: {line:?}");
            });
        Self {
            address: address.to_owned(),
            child,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once, as `kill -9` does.
    ///
    /// # Panics
    /// If it has ended by itself.
    pub fn kill(mut self) {
        self.child.kill().expect("the server is there to be killed");
        self.child.wait().expect("a killed server ends");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("the server ends")
    }

    /// Asks it to end, as `kill` does, and waits until it has.
    ///
    /// # Panics
    /// If it does not end by itself.
    pub fn stop(mut self) {
        self.ask_to_end();
        let status = self.child.wait().expect("the server ends");
        assert!(status.success(), "the server ended with {status}");
    }

    /// An HTTP call; gives the status and the body.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(&self.address, method, path, body)
    }

    fn ask_to_end(&self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").arg(&pid).status();
        assert!(
            asked.is_ok_and(|status| status.success()),
            "the server is there to be asked"
        );
    }
}

/// How long a server may take to end when its test is over, in tenths of a second.
const PATIENCE_TENTHS: u32 = 200;

impl Drop for Server {
    /// Ends it in order, so that a test leaves none of its processes behind.
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        if let Ok(None) = self.child.try_wait() {
            let _asked = Command::new("kill").arg(&pid).status();
        }
        for _ in 0..PATIENCE_TENTHS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // One that hangs is what the test is to report, not to wait for.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Says that a test is skipped because something that it needs is not there.
///
/// # Panics
/// Where `FORESHADOW_NO_SKIP` is set: there everything is there.
pub fn skip(why: &str) {
    assert!(std::env::var_os("FORESHADOW_NO_SKIP").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// An HTTP call; gives the status and the body.
///
/// # Panics
/// If nobody answers at the address.
pub fn http(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = http_with(address, method, path, &[], body);
    (answer.status, answer.body)
}

/// What an HTTP call was answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The lines before its body.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// An HTTP call with headers.
///
/// # Panics
/// If nobody answers at the address.
pub fn http_with(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut connection = TcpStream::connect(address).expect("somebody listens");
    connection
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout can be set");
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let headers = headers.concat();
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request can be sent");
    let mut answer = Vec::new();
    connection
        .read_to_end(&mut answer)
        .expect("an answer comes");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.expect("an answer has a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The processes whose command line holds this text.
pub fn processes_with(text: &str) -> Vec<u32> {
    processes(|line| line.contains(text))
}

/// The processes whose command line, with spaces between its words, is one of these.
fn processes(mut is_one: impl FnMut(&str) -> bool) -> Vec<u32> {
    let Ok(all) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| is_one(&String::from_utf8_lossy(&line).replace('\0', " ")))
        })
        .collect()
}

/// Processes that nobody else starts, told apart by a word of their command lines. Those that are left
/// are ended when this is dropped: after their servers, if it was made before them.
#[derive(Debug)]
pub struct Marked(String);

impl Marked {
    /// Those with this word.
    pub fn by(word: String) -> Self {
        Self(word)
    }

    /// Those that sleep for a time of their own: no other run of tests has it, nor another test of
    /// this one with another `test`.
    ///
    /// # Panics
    /// If another test of this run has the number: each would end the processes of the other.
    pub fn sleepers(test: u32) -> Self {
        static TAKEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            taken.insert(test),
            "another test has {test}; give a number that is free"
        );
        Self(format!("{test}{}", std::process::id()))
    }

    /// The word.
    pub fn word(&self) -> &str {
        &self.0
    }

    /// A pool of them: they only say that they are ready, and sleep. Further lines may follow.
    pub fn pool(&self, name: &str, min: u32, max: u32) -> String {
        let word = &self.0;
        format!(
            r#"
[[pool]]
name = "{name}"
provider = "process"
command = ["sh", "-c", "echo ready; exec sleep {word}"]
ready = {{ stdout = "ready" }}
recycle = "reuse"
min = {min}
max = {max}
"#
        )
    }

    /// Those that there are.
    pub fn running(&self) -> Vec<u32> {
        processes(|line| line.split_ascii_whitespace().any(|word| word == self.0))
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        for pid in self.running() {
            let _ended = Command::new("kill").arg(pid.to_string()).status();
        }
    }
}
