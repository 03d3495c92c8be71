//! What is on disk of each instance, so that the next run of the server knows whom to ask about it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use serde::{Deserialize, Serialize};

use crate::{
    random::random,
    records::{Kept, replace},
};

/// Names this Foreshadow to its providers.
const OWNER_FILE: &str = "owner";

/// Where an instance is, and how it is ended. It is written before the provider is asked to start it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    instance: u64,
    pool: String,
    pub(super) endpoint: String,
    pub(super) token_file: Option<PathBuf>,
    stop_grace_ms: u64,
    call_timeout_ms: u64,
}

impl Record {
    pub(super) fn new(
        id: InstanceId,
        pool: &PoolName,
        endpoint: &str,
        token_file: Option<&Path>,
        (stop_grace, call_timeout): (Duration, Duration),
    ) -> Self {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            instance: id.0,
            pool: pool.to_string(),
            endpoint: endpoint.to_owned(),
            token_file: token_file.map(Path::to_owned),
            stop_grace_ms: millis(stop_grace),
            call_timeout_ms: millis(call_timeout),
        }
    }

    pub(super) fn id(&self) -> InstanceId {
        InstanceId(self.instance)
    }

    pub(super) fn pool(&self) -> Option<PoolName> {
        PoolName::new(&self.pool).ok()
    }

    pub(super) fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }

    /// Never zero, whatever the file says.
    pub(super) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms.max(1))
    }
}

impl Kept for Record {
    fn name(&self) -> String {
        self.id().to_string()
    }
}

/// The name of this Foreshadow, which stays the same as long as its folder.
pub(crate) fn owner(folder: &Path) -> io::Result<String> {
    let path = folder.join(OWNER_FILE);
    match fs::read_to_string(&path) {
        Ok(name) if is_owner(name.trim()) => return Ok(name.trim().to_owned()),
        Ok(_) => {
            let reason = "it does not hold 32 hexadecimal digits; restore it from a backup";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = format!("{:016x}{:016x}", random(), random());
    fs::create_dir_all(folder)?;
    replace(&path, &folder.join("owner.partial"), name.as_bytes())?;
    Ok(name)
}

/// Has this Foreshadow known by a name from now on.
pub(crate) fn name_owner(folder: &Path, name: &str) -> io::Result<()> {
    if !is_owner(name) {
        let reason = "an owner's name is 32 hexadecimal digits";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    fs::create_dir_all(folder)?;
    replace(
        &folder.join(OWNER_FILE),
        &folder.join("owner.partial"),
        name.as_bytes(),
    )
}

fn is_owner(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_keeps_its_name_and_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let name = |of: &str| owner(&folder.path().join(of));
        let first = name("a").unwrap();
        assert_eq!(name("a").unwrap(), first);
        assert_ne!(name("b").unwrap(), first);
        name_owner(&folder.path().join("b"), &first).unwrap();
        assert_eq!(name("b").unwrap(), first);
        assert!(name_owner(folder.path(), "me").is_err());
        fs::write(folder.path().join("a").join(OWNER_FILE), "?").unwrap();
        assert!(name("a").unwrap_err().to_string().contains("hexadecimal"));
    }
}
