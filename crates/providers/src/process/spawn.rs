//! From a specification to a running process.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    process::{Command, Stdio},
};

use foreshadow_types::{InstanceId, PoolName};

use super::{leader::Leader, record::Records};
use crate::spec::ProcessSpec;

/// Names the instance in its environment; also what orphans are found by.
pub(crate) const INSTANCE_VARIABLE: &str = "FORESHADOW_INSTANCE";

/// What an instance has of the server's environment, which may hold its token and keys of its stores;
/// everything else is given by `env`.
const INHERITED: [&str; 10] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "TERM",
];

/// Names the folder of the server that started it.
pub(crate) const HOME_VARIABLE: &str = "FORESHADOW_HOME";

/// Starts the process of an instance. Its output goes to files, because a pipe would break with the
/// server.
pub(crate) fn spawn(
    spec: &ProcessSpec,
    pool: &PoolName,
    instance: InstanceId,
    port: u16,
    records: &Records,
) -> io::Result<Leader> {
    let mut command = of_instance(&spec.command, spec, pool, instance, port, records)?;
    command
        .stdout(output(&records.stdout(instance))?)
        .stderr(output(&records.stderr(instance))?);
    Leader::spawn(command)
}

/// A command line of an instance with everything filled in, and marked so that what is left of it is
/// found.
pub(crate) fn of_instance(
    words: &[String],
    spec: &ProcessSpec,
    pool: &PoolName,
    instance: InstanceId,
    port: u16,
    records: &Records,
) -> io::Result<Command> {
    let fill = |word: &String| {
        word.replace("{port}", &port.to_string())
            .replace("{instance}", &instance.to_string())
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut command = Command::new(fill(program));
    let inherited = INHERITED.into_iter();
    let inherited = inherited.filter_map(|name| Some((name, std::env::var_os(name)?)));
    command
        .args(arguments.iter().map(fill))
        .env_clear()
        .envs(inherited)
        .envs(spec.env.iter().map(|(key, value)| (key, fill(value))))
        .env("FORESHADOW_PORT", port.to_string())
        .env("FORESHADOW_POOL", pool.as_str())
        .env(INSTANCE_VARIABLE, instance.to_string())
        .env(HOME_VARIABLE, records.dir())
        .stdin(Stdio::null());
    if let Some(folder) = &spec.working_dir {
        command.current_dir(folder);
    }
    Ok(command)
}

/// Begins a file anew. It is appended to, so that it can be cut while the process writes.
fn output(path: &Path) -> io::Result<File> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    OpenOptions::new().create(true).append(true).open(path)
}
