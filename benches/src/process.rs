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
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("stdout is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().context("the server did not start")?;
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
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before it, in brackets, may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("no name is told")?;
    let ticks = |place| -> anyhow::Result<f64> {
        let word = rest.split_ascii_whitespace().nth(place);
        Ok(word.context("no time is told")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_S)
}
