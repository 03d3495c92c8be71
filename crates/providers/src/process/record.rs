//! What is on disk of each process, so that the next run of the server finds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use foreshadow_types::{InstanceId, PoolName};
use serde::{Deserialize, Serialize};

use super::procfs::ProcessIdentity;

/// The largest record that is read.
const MAX_RECORD_BYTES: u64 = 16 * 1024;

/// One instance as it is on disk. It is written before the process is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) instance: InstanceId,
    pub(crate) pool: PoolName,
    pub(crate) process: ProcessIdentity,
    pub(crate) port: u16,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFile {
    instance: u64,
    pool: String,
    pid: i32,
    start_ticks: u64,
    boot_id: String,
    port: u16,
}

/// The folder of the records and of what the processes write.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    /// Opens the folder, which is made if it is not there.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        Ok(Self { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn stdout(&self, instance: InstanceId) -> PathBuf {
        self.dir.join(format!("{instance}.out"))
    }

    pub(crate) fn stderr(&self, instance: InstanceId) -> PathBuf {
        self.dir.join(format!("{instance}.err"))
    }

    fn path(&self, instance: InstanceId) -> PathBuf {
        self.dir.join(format!("{instance}.json"))
    }

    /// Writes a record as a whole: a crash leaves the old one or the new one.
    ///
    /// It is not synced to the disk, because a process does not outlive the operating system.
    pub(crate) fn write(&self, record: &Record) -> io::Result<()> {
        let file = RecordFile {
            instance: record.instance.0,
            pool: record.pool.as_str().to_owned(),
            pid: record.process.pid,
            start_ticks: record.process.start_ticks,
            boot_id: record.process.boot_id.clone(),
            port: record.port,
        };
        let partial = self.dir.join(format!("{}.partial", record.instance));
        fs::write(&partial, serde_json::to_vec(&file)?)?;
        fs::rename(&partial, self.path(record.instance))
    }

    /// Removes all that is kept of an instance.
    pub(crate) fn remove(&self, instance: InstanceId) {
        for path in [
            self.path(instance),
            self.stdout(instance),
            self.stderr(instance),
        ] {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a file of an instance stays");
            }
        }
    }

    pub(crate) fn read(&self, instance: InstanceId) -> Option<Record> {
        read_record(&self.path(instance))
    }

    /// All records that can be read. One that cannot is of a machine that crashed while it was
    /// written, and its process died with the machine.
    pub(crate) fn read_all(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                records.extend(read_record(&path));
            }
        }
        records.sort_by_key(|record| record.instance);
        Ok(records)
    }
}

fn read_record(path: &Path) -> Option<Record> {
    if fs::metadata(path).ok()?.len() > MAX_RECORD_BYTES {
        return None;
    }
    let file: RecordFile = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(Record {
        instance: InstanceId(file.instance),
        pool: PoolName::new(&file.pool).ok()?,
        process: ProcessIdentity {
            pid: file.pid,
            start_ticks: file.start_ticks,
            boot_id: file.boot_id,
        },
        port: file.port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        Record {
            instance: InstanceId(number),
            pool: PoolName::new("notebook").unwrap(),
            process: ProcessIdentity {
                pid: 42,
                start_ticks: 7,
                boot_id: "boot".to_owned(),
            },
            port: 4000,
        }
    }

    #[test]
    fn a_record_reads_back_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        records.write(&record(1)).unwrap();
        records.write(&record(2)).unwrap();
        assert_eq!(records.read(InstanceId(1)), Some(record(1)));
        assert_eq!(records.read_all().unwrap(), [record(1), record(2)]);
        records.remove(InstanceId(1));
        assert_eq!(records.read_all().unwrap(), [record(2)]);
    }

    #[test]
    fn a_torn_record_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(dir.path()).unwrap();
        records.write(&record(1)).unwrap();
        fs::write(dir.path().join("i-2.json"), b"{\"instance\":2,").unwrap();
        assert_eq!(records.read_all().unwrap(), [record(1)]);
    }
}
