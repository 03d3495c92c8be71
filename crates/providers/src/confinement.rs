//! What a process may take, and as whom it runs.

use rustix::process::{Resource, Rlimit, geteuid, setrlimit};

/// What each process of an instance may take at the most (setrlimit(2)); no limit where there is none.
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
    /// Sets the limits of this process and its children to come. It makes system calls only: it may be
    /// called between fork and exec.
    pub(crate) fn apply(self) -> std::io::Result<()> {
        for (resource, most) in [
            (Resource::As, self.memory),
            (Resource::Nofile, self.open_files),
            (Resource::Nproc, self.processes),
            (Resource::Fsize, self.file_size),
        ] {
            if most.is_some() {
                let limit = Rlimit {
                    current: most,
                    maximum: most,
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
