//! Folders of this machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::HistoryError;

/// All files of a folder and of the folders in it.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| HistoryError::io(&folder, error);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            read => read.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

pub(super) fn remove(path: &Path) -> Result<(), HistoryError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HistoryError::io(path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
