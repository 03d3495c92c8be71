//! What a process may take, and as whom it runs.

use std::{os::unix::process::CommandExt, process::Command};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

/// What each process that a command starts may take at the most (setrlimit(2)); no limit where there is
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Address space, in bytes.
    pub memory: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes and threads of its user.
    pub processes: Option<u64>,
    /// The size of a file it writes, in bytes.
    pub file_size: Option<u64>,
}

/// A user and a group of the system, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub uid: u32,
    /// The group; there are no further ones.
    pub gid: u32,
}

impl Limits {
    /// Lets whatever a command starts begin with these limits.
    #[expect(
        unsafe_code,
        reason = "the standard library has no safe way to start a process with limits"
    )]
    pub fn confine(self, command: &mut Command) {
        // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
        // functions may be called. It makes the system calls getrlimit(2) and setrlimit(2), which are
        // plain calls to the kernel, and neither allocates nor touches memory shared with other threads.
        unsafe {
            command.pre_exec(move || self.apply());
        }
    }

    /// Sets the limits of this process and its children to come.
    fn apply(self) -> std::io::Result<()> {
        for (resource, most) in [
            (Resource::As, self.memory),
            (Resource::Nofile, self.open_files),
            (Resource::Nproc, self.processes),
            (Resource::Fsize, self.file_size),
        ] {
            if let Some(most) = most {
                // Nobody may raise what is lower already.
                let most = getrlimit(resource)
                    .maximum
                    .map_or(most, |hard| hard.min(most));
                let limit = Rlimit {
                    current: Some(most),
                    maximum: Some(most),
                };
                setrlimit(resource, limit)?;
            }
        }
        Ok(())
    }
}

impl RunAs {
    /// Whether this process may start others as this user: as its own, or as root.
    pub(crate) fn is_possible(self) -> bool {
        let own = geteuid();
        own.is_root() || own.as_raw() == self.uid
    }
}
