//! What the operating system says of processes, read from `/proc`.

use std::{ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path};

/// A process beyond doubt: ids are used again, start times within one boot are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// Clock ticks from the boot until it started.
    pub(crate) start_ticks: u64,
    /// Which boot.
    pub(crate) boot_id: String,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: char,
    pub(crate) session: i32,
    pub(crate) start_ticks: u64,
}

impl Stat {
    pub(crate) fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }

    pub(crate) fn is_frozen(self) -> bool {
        self.state == 'T'
    }
}

/// The identity of a process that is there now.
pub(crate) fn identify(pid: i32) -> io::Result<ProcessIdentity> {
    let stat = stat(pid)?;
    Ok(ProcessIdentity {
        pid,
        start_ticks: stat.start_ticks,
        boot_id: boot_id()?,
    })
}

/// Whether this very process is there and has not ended.
pub(crate) fn is_alive(process: &ProcessIdentity) -> bool {
    let same_boot = boot_id().is_ok_and(|boot| boot == process.boot_id);
    same_boot
        && stat(process.pid)
            .is_ok_and(|stat| stat.start_ticks == process.start_ticks && !stat.is_dead())
}

pub(crate) fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable stat"))
}

/// The second field is the program's name in parentheses and may itself have spaces and
/// parentheses; the fields after its last parenthesis are counted.
fn parse_stat(text: &str) -> Option<Stat> {
    let after_name = &text[text.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let session = fields.nth(2)?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        state,
        session,
        start_ticks,
    })
}

fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// The ids of all processes that we may look at.
pub(crate) fn all_pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// A variable of a process's initial environment, if we may read it.
pub(crate) fn environment_variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=").map(<[u8]>::to_vec)
    })
}

/// Whether a process was started with this variable set to this path.
pub(crate) fn has_path_variable(pid: i32, name: &str, path: &Path) -> bool {
    environment_variable(pid, name)
        .is_some_and(|value| OsStr::from_bytes(&value) == path.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "12 (a ) (b) S 1 12 13 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987 1024 5";
        assert_eq!(
            parse_stat(line),
            Some(Stat {
                state: 'S',
                session: 13,
                start_ticks: 987
            })
        );
        assert_eq!(parse_stat("12 (a"), None);
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let me = identify(std::process::id() as i32).unwrap();
        assert!(is_alive(&me));
        let other = ProcessIdentity {
            start_ticks: me.start_ticks + 1,
            ..me.clone()
        };
        assert!(!is_alive(&other));
        let other_boot = ProcessIdentity {
            boot_id: String::new(),
            ..me
        };
        assert!(!is_alive(&other_boot));
    }
}
