//! Where the files of the history lie: in folders of this machine, or as objects of a store that speaks
//! S3, under paths such as `s3://bucket/prefix/file.parquet`.
//!
//! Objects are put whole: a reader sees all of one or nothing. To be read, one is fetched once to a
//! temporary file without a name, in pieces, so that memory does not grow with it.

mod local;
#[cfg(feature = "s3")]
mod objects;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use crate::HistoryError;

/// What a path to an object begins with.
const S3: &str = "s3://";

/// Whether a path leads out of this machine: it begins with the name of a protocol.
pub fn is_remote(path: &Path) -> bool {
    protocol(path).is_some()
}

/// Checks that this build can reach a path; local paths always pass.
///
/// # Errors
/// [`HistoryError::Protocol`] or [`HistoryError::NoS3`].
pub fn check_reachable(path: &Path) -> Result<(), HistoryError> {
    match protocol(path) {
        None => Ok(()),
        Some(S3) if cfg!(feature = "s3") => Ok(()),
        Some(S3) => Err(HistoryError::NoS3(path.to_owned())),
        Some(_) => Err(HistoryError::Protocol(path.to_owned())),
    }
}

/// Makes a folder and those around it; of objects there is nothing to make.
///
/// # Errors
/// [`HistoryError`] if it cannot be made or reached.
pub fn make_folder(folder: &Path) -> Result<(), HistoryError> {
    if is_remote(folder) {
        return check_reachable(folder);
    }
    std::fs::create_dir_all(folder).map_err(|error| HistoryError::io(folder, error))
}

/// The Parquet files of a folder and of the folders in it, in the order of their names; none if there
/// is no such folder.
///
/// # Errors
/// [`HistoryError`] if it cannot be read.
pub fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
    let mut files = if is_remote(folder) {
        remote::list(folder)?
    } else {
        local::list(folder)?
    };
    files.retain(|path| is_parquet(path));
    files.sort();
    Ok(files)
}

/// All files of a folder and of the folders in it; none if there is no such folder.
///
/// # Errors
/// [`HistoryError`] if it cannot be read.
pub fn stored_files(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
    if is_remote(folder) {
        return remote::list(folder);
    }
    local::list(folder)
}

/// Reads a whole file, which is to be small.
///
/// # Errors
/// [`HistoryError`] if there is none or it cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, HistoryError> {
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(|error| HistoryError::io(path, error))?;
    Ok(bytes)
}

/// Makes a whole file appear, in the place of one that may be there.
///
/// # Errors
/// [`HistoryError`] if it cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), HistoryError> {
    if !is_remote(path) {
        return local::write(path, bytes);
    }
    let failed = |error| HistoryError::io(path, error);
    let mut file = tempfile::tempfile().map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    put(&mut file, path)
}

/// Removes a file. One that is gone already is no error.
///
/// # Errors
/// [`HistoryError`] if it cannot be removed.
pub fn remove_file(path: &Path) -> Result<(), HistoryError> {
    if is_remote(path) {
        remote::remove(path)
    } else {
        local::remove(path)
    }
}

/// Removes a folder that holds nothing any more; one that does stays, and of objects there is nothing to
/// remove.
pub fn remove_empty_folder(folder: &Path) {
    if !is_remote(folder) {
        // What is left in it is of no harm.
        let _ = std::fs::remove_dir(folder);
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File, HistoryError> {
    if is_remote(path) {
        let mut file = tempfile::tempfile().map_err(|error| HistoryError::io(path, error))?;
        remote::fetch(path, &mut file)?;
        return Ok(file);
    }
    File::open(path).map_err(|error| HistoryError::io(path, error))
}

/// Makes a whole file appear under a remote path, in the place of one that may be there.
pub(crate) fn put(file: &mut File, path: &Path) -> Result<(), HistoryError> {
    remote::put(file, path)
}

/// Whether there is a remote file of this very name.
pub(crate) fn remote_file_exists(path: &Path) -> Result<bool, HistoryError> {
    remote::exists(path)
}

/// The part of a path up to and with `://`.
fn protocol(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (name, _) = text.split_once("://")?;
    let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    named.then(|| &text[..name.len() + 3])
}

pub(crate) fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

#[cfg(feature = "s3")]
use objects as remote;

/// A build without S3 says so.
#[cfg(not(feature = "s3"))]
mod remote {
    use std::{
        fs::File,
        path::{Path, PathBuf},
    };

    use super::check_reachable;
    use crate::HistoryError;

    /// Nothing remote can be reached by this build.
    fn refuse(path: &Path) -> HistoryError {
        check_reachable(path)
            .err()
            .unwrap_or_else(|| HistoryError::NoS3(path.to_owned()))
    }

    pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
        Err(refuse(folder))
    }

    pub(super) fn remove(path: &Path) -> Result<(), HistoryError> {
        Err(refuse(path))
    }

    pub(super) fn exists(path: &Path) -> Result<bool, HistoryError> {
        Err(refuse(path))
    }

    pub(super) fn fetch(path: &Path, _into: &mut File) -> Result<(), HistoryError> {
        Err(refuse(path))
    }

    pub(super) fn put(_file: &mut File, path: &Path) -> Result<(), HistoryError> {
        Err(refuse(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_protocol_is_remote_and_others_are_local() {
        for path in ["history", "/var/history", "a:b", "://x", "./s3:/x"] {
            assert!(!is_remote(Path::new(path)), "{path}");
            assert!(check_reachable(Path::new(path)).is_ok(), "{path}");
        }
        assert!(is_remote(Path::new("s3://bucket/history")));
        let other = check_reachable(Path::new("gs://bucket/history"));
        let other = other.unwrap_err().to_string();
        assert!(other.contains("s3://bucket/prefix"), "{other}");
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn a_build_without_s3_says_which_build_has_it() {
        let path = Path::new("s3://bucket/history");
        for refused in [
            check_reachable(path).unwrap_err(),
            parquet_files(path).unwrap_err(),
            crate::HistoryPaths::expand(&[path]).unwrap_err(),
        ] {
            let text = refused.to_string();
            assert!(text.contains("--features s3"), "{text}");
            assert!(text.contains("s3://bucket/history"), "{text}");
        }
    }

    #[test]
    fn a_file_of_any_kind_is_written_whole_listed_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models/epoch-1/manifest.json");
        for bytes in [&b"first"[..], b"second"] {
            write_file(&path, bytes).unwrap();
            assert_eq!(read_file(&path).unwrap(), bytes);
        }
        assert_eq!(stored_files(folder.path()).unwrap(), [path]);
        assert!(
            stored_files(&folder.path().join("absent"))
                .unwrap()
                .is_empty()
        );
        assert!(read_file(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn a_removed_file_may_be_removed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("day/a.parquet");
        make_folder(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"").unwrap();
        std::fs::write(path.with_extension("partial"), b"").unwrap();
        assert_eq!(
            parquet_files(folder.path()).unwrap(),
            std::slice::from_ref(&path)
        );
        remove_file(&path).unwrap();
        remove_file(&path).unwrap();
        assert!(parquet_files(folder.path()).unwrap().is_empty());
        assert!(
            parquet_files(&folder.path().join("absent"))
                .unwrap()
                .is_empty()
        );
    }
}
