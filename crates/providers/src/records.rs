//! Records on disk, a file each, so that the next run of the server goes on where this one ended.

use std::{
    fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Something that is kept under a name of its own, which is fit for a file.
pub(crate) trait Kept: Serialize + DeserializeOwned {
    fn name(&self) -> String;
}

/// The folder of the records of one kind. It is made when the first is written.
#[derive(Debug, Clone)]
pub(crate) struct Records<T> {
    folder: PathBuf,
    kind: PhantomData<fn() -> T>,
}

impl<T: Kept> Records<T> {
    pub(crate) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            kind: PhantomData,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Writes a record as a whole: a crash leaves the old one or the new one.
    pub(crate) fn write(&self, record: &T) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let name = record.name();
        let partial = self.folder.join(format!("{name}.partial"));
        replace(&self.path(&name), &partial, &serde_json::to_vec(record)?)
    }

    pub(crate) fn remove(&self, name: &str) {
        let path = self.path(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a record stays");
        }
    }

    /// All records, by name. One that cannot be read is told and passed over.
    pub(crate) fn read_all(&self) -> io::Result<Vec<T>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut records: Vec<T> = Vec::new();
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
        records.sort_by_cached_key(Kept::name);
        Ok(records)
    }
}

/// Puts a file in the place of another, synced: what it tells of outlives this machine.
pub(crate) fn replace(path: &Path, partial: &Path, content: &[u8]) -> io::Result<()> {
    let file = fs::File::create(partial)?;
    io::Write::write_all(&mut &file, content)?;
    file.sync_all()?;
    fs::rename(partial, path)?;
    // Without this the name may be lost with the power, and with it what lies under it.
    path.parent()
        .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
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
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Number(u64);

    impl Kept for Number {
        fn name(&self) -> String {
            format!("number-{}", self.0)
        }
    }

    #[test]
    fn a_record_reads_back_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::at(&folder.path().join("numbers"));
        assert_eq!(records.read_all().unwrap(), []);
        records.write(&Number(1)).unwrap();
        records.write(&Number(2)).unwrap();
        fs::write(records.folder().join("number-3.json"), b"{\"num").unwrap();
        assert_eq!(records.read_all().unwrap(), [Number(1), Number(2)]);
        records.remove("number-1");
        assert_eq!(records.read_all().unwrap(), [Number(2)]);
    }
}
