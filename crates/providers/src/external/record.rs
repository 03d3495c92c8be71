//! What is on disk of each instance, so that the next run of the server knows whom to ask about it.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use serde::{Deserialize, Serialize};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024;

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

/// The folder of the records. It is made when the first is written.
#[derive(Debug, Clone)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(super) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, id: InstanceId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// The name of this Foreshadow, which stays the same as long as its folder.
    pub(super) fn owner(&self) -> io::Result<String> {
        let path = self.folder.join(OWNER_FILE);
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
        fs::create_dir_all(&self.folder)?;
        replace(&path, &self.folder.join("owner.partial"), name.as_bytes())?;
        Ok(name)
    }

    /// Writes a record as a whole: a crash leaves the old one or the new one.
    pub(super) fn write(&self, record: &Record) -> io::Result<()> {
        let partial = self.folder.join(format!("{}.partial", record.id()));
        replace(
            &self.path(record.id()),
            &partial,
            &serde_json::to_vec(record)?,
        )
    }

    pub(super) fn remove(&self, id: InstanceId) {
        let path = self.path(id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "the record of an instance stays");
        }
    }

    /// All records. One that cannot be read is told and passed over: its instance is found by the
    /// provider's list.
    pub(super) fn read_all(&self) -> io::Result<Vec<Record>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a record cannot be read");
                }
            }
        }
        records.sort_by_key(Record::id);
        Ok(records)
    }
}

fn is_owner(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The standard library seeds its hashers from the operating system.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Puts a file in the place of another, synced: its instance outlives this machine.
fn replace(path: &Path, partial: &Path, content: &[u8]) -> io::Result<()> {
    let file = fs::File::create(partial)?;
    io::Write::write_all(&mut &file, content)?;
    file.sync_all()?;
    fs::rename(partial, path)
}

fn read(path: &Path) -> io::Result<Record> {
    if fs::metadata(path)?.len() > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is too large",
        ));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        let pool = PoolName::new("game").unwrap();
        let spans = (Duration::from_secs(30), Duration::from_secs(5));
        Record::new(InstanceId(number), &pool, "http://a:1", None, spans)
    }

    #[test]
    fn a_record_reads_back_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::at(&folder.path().join("external"));
        assert_eq!(records.read_all().unwrap(), []);
        records.owner().unwrap();
        records.write(&record(1)).unwrap();
        records.write(&record(2)).unwrap();
        fs::write(records.folder().join("i-3.json"), b"{\"instance\":3,").unwrap();
        assert_eq!(records.read_all().unwrap(), [record(1), record(2)]);
        records.remove(InstanceId(1));
        assert_eq!(records.read_all().unwrap(), [record(2)]);
    }

    #[test]
    fn an_owner_keeps_its_name_and_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let name = |of: &str| Records::at(&folder.path().join(of)).owner();
        let first = name("a").unwrap();
        assert_eq!(name("a").unwrap(), first);
        assert_ne!(name("b").unwrap(), first);
        fs::write(folder.path().join("a").join(OWNER_FILE), "?").unwrap();
        assert!(name("a").unwrap_err().to_string().contains("hexadecimal"));
    }
}
