//! One process and its group: signals that cannot hit a stranger, and its end.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command},
};

use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal, setsid,
};
use tokio::io::unix::AsyncFd;

use super::procfs::{self, ProcessIdentity};
use crate::confinement::Limits;

/// The first process of an instance: the leader of a session and a process group of its own.
#[derive(Debug)]
pub(crate) struct Leader {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    /// Present if this run of the server started it; its end must then be collected, and until it is,
    /// its id is not given to another process.
    child: Option<Child>,
}

impl Leader {
    /// Starts a command in a session of its own, so that it outlives the server even while stopped:
    /// a stopped process group is killed by the kernel when the last parent in its session ends.
    ///
    /// Must be called within the runtime.
    pub(crate) fn spawn(command: Command, limits: Limits) -> io::Result<Self> {
        let mut child = confined(command, limits).spawn()?;
        match Self::open(child.id() as i32) {
            Ok((pid, pidfd)) => Ok(Self {
                pid,
                pidfd,
                child: Some(child),
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Takes charge of a process that an earlier run started; none if it has ended.
    pub(crate) fn adopt(process: &ProcessIdentity) -> Option<Self> {
        let (pid, pidfd) = Self::open(process.pid).ok()?;
        // Looked at after the handle is open: if it is the right one now, the handle is its.
        procfs::is_alive(process).then_some(Self {
            pid,
            pidfd,
            child: None,
        })
    }

    fn open(pid: i32) -> io::Result<(Pid, AsyncFd<OwnedFd>)> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        Ok((pid, watched(pidfd)?))
    }

    pub(crate) fn identity(&self) -> io::Result<ProcessIdentity> {
        procfs::identify(self.pid.as_raw_nonzero().get())
    }

    /// Sends a signal to the whole group; a group that is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        let sent = kill_process_group(self.pid, signal);
        if let Err(error) = sent
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = self.pid.as_raw_nonzero().get(), ?signal, %error, "signal not sent");
        }
    }

    pub(crate) fn is_frozen(&self) -> bool {
        procfs::stat(self.pid.as_raw_nonzero().get()).is_ok_and(procfs::Stat::is_frozen)
    }

    /// Waits until the process has ended. Its id stays taken until [`Self::collect`].
    pub(crate) async fn ended(&self) {
        if let Err(error) = self.pidfd.readable().await {
            tracing::warn!(%error, "the end of a process cannot be waited for");
        }
    }

    /// After the end: kills what is left of its group and session and says how it ended.
    pub(crate) fn collect(mut self) -> String {
        self.kill_rest();
        match self.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "no exit code".to_owned(),
            },
            Some(Err(_)) | None => "exit code unknown".to_owned(),
        }
    }

    /// After the end, as [`collect`](Self::collect): whether it ended well.
    pub(crate) fn succeeded(mut self) -> bool {
        self.kill_rest();
        let ended = self.child.as_mut().map(Child::wait);
        ended.is_some_and(|status| status.is_ok_and(|status| status.success()))
    }

    fn kill_rest(&self) {
        if self.child.is_some() {
            // The leader is not collected yet: the group's number is still its own.
            return self.signal(Signal::KILL);
        }
        // An adopted leader was collected by the system, and its number may be another's by now.
        let leader = self.pid.as_raw_nonzero().get();
        kill_matching(|pid| {
            procfs::stat(pid).is_ok_and(|stat| stat.session == leader && !stat.is_dead())
                && procfs::environment_variable(pid, super::spawn::INSTANCE_VARIABLE).is_some()
        });
    }
}

#[expect(
    unsafe_code,
    reason = "tokio has no safe way to register a descriptor that the standard library owns"
)]
fn watched(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor must stay open and the same for as long as it is registered. An
    // `OwnedFd` owns its descriptor, always gives the same one, and is closed only when the
    // `AsyncFd` that now owns it has taken it out of the registry.
    Ok(unsafe { AsyncFd::register(pidfd) }?)
}

/// Kills every process that matches; the match is made while a handle is held on the process.
/// Returns how many were killed.
pub(crate) fn kill_matching(matches: impl Fn(i32) -> bool) -> usize {
    let Ok(pids) = procfs::all_pids() else {
        return 0;
    };
    let mut killed = 0;
    for number in pids {
        let Some(pid) = Pid::from_raw(number) else {
            continue;
        };
        if !matches(number) {
            continue;
        }
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if matches(number) && pidfd_send_signal(&handle, Signal::KILL).is_ok() {
            killed += 1;
        }
    }
    killed
}

#[expect(
    unsafe_code,
    reason = "the standard library has no safe way to start a process in a session of its own"
)]
fn confined(mut command: Command, limits: Limits) -> Command {
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // functions may be called. It makes the system call setsid(2), which is a plain call to the kernel,
    // and neither allocates nor touches memory shared with other threads.
    unsafe {
        command.pre_exec(|| setsid().map(drop).map_err(Into::into));
    }
    limits.confine(&mut command);
    command
}
