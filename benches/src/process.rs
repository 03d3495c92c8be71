//! A server in a process of its own, so that its memory and its processor time can be told from the
//! clients'.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// Parts of a second in which Linux tells processor time.
const TICKS_PER_S: f64 = 100.0;

/// This program again, started as a server.
pub(crate) struct OtherProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl OtherProcess {
    /// Starts it with these words, and reads the address that it prints once it listens.
    pub(crate) fn start(words: &[&str]) -> anyhow::Result<Self> {
        Self::run(Command::new(std::env::current_exe()?).args(words))
    }

    /// The same of any program that prints its address, alone or after `listening on`.
    pub(crate) fn run(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().trim_start_matches("listening on ").parse();
        let address = address.context("the server did not start")?;
        Ok(Self { child, address })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory.
    pub(crate) fn memory_mb(&self) -> anyhow::Result<f64> {
        memory_mb(self.id())
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The resident memory of a process.
pub(crate) fn memory_mb(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kilobytes: f64 = kilobytes.context("no memory is told")?.trim().parse()?;
    Ok(kilobytes / 1024.0)
}

/// The processor time that a process has taken since it began, in seconds.
pub(crate) fn processor_s(process: u32) -> anyhow::Result<f64> {
    Ok(Stat::of(process)?.processor_s)
}

/// The same of a process and of all that it started, those that have ended among them.
pub(crate) fn processor_of_family_s(first: u32) -> anyhow::Result<f64> {
    let own = Stat::of(first)?;
    let numbers = std::fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // One that ends meanwhile is among those that have ended, soon.
    let children = numbers.filter_map(|process| Stat::of(process).ok());
    let children = children.filter(|stat| stat.parent == first);
    let alive: f64 = children.map(|stat| stat.processor_s).sum();
    Ok(own.processor_s + own.ended_s + alive)
}

/// What Linux tells of a process.
struct Stat {
    parent: u32,
    processor_s: f64,
    /// Processor time of its children that have ended.
    ended_s: f64,
}

impl Stat {
    fn of(process: u32) -> anyhow::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name before it, in brackets, may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("no name is told")?;
        let number = |place| -> anyhow::Result<f64> {
            let word = rest.split_ascii_whitespace().nth(place);
            Ok(word.context("no time is told")?.parse()?)
        };
        Ok(Self {
            parent: number(1)? as u32,
            processor_s: (number(11)? + number(12)?) / TICKS_PER_S,
            ended_s: (number(13)? + number(14)?) / TICKS_PER_S,
        })
    }
}

/// A port that is free at the moment.
pub(crate) fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}
