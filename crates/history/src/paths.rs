//! Files, folders and globs become a list of files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    HistoryError,
    storage::{is_parquet, is_remote, parquet_files, remote_file_exists},
};

/// The deepest nesting of folders that is followed.
const MAX_FOLDER_DEPTH: usize = 16;

/// The Parquet files that a command was given, each once, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPaths(Vec<PathBuf>);

impl HistoryPaths {
    /// Expands files, folders (all `*.parquet` in them, nested folders included, sorted) and globs, of
    /// this machine and, under `s3://bucket/`, of an object store.
    ///
    /// # Errors
    /// [`HistoryError`] names the path that does not exist or holds no Parquet file.
    pub fn expand<P: AsRef<Path>>(given: &[P]) -> Result<Self, HistoryError> {
        let mut files = Vec::new();
        for path in given {
            expand_one(path.as_ref(), &mut files)?;
        }
        let mut seen = BTreeSet::new();
        files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
        if files.is_empty() {
            return Err(HistoryError::NoFiles(String::new()));
        }
        Ok(Self(files))
    }

    /// The files, at least one.
    pub fn files(&self) -> &[PathBuf] {
        &self.0
    }

    /// The files for a message: the first, and how many more.
    pub(crate) fn summary(&self) -> String {
        let first = self.0.first().map(|path| path.display().to_string());
        match self.0.len() {
            0 | 1 => first.unwrap_or_default(),
            n => format!("{} and {} more files", first.unwrap_or_default(), n - 1),
        }
    }
}

fn expand_one(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), HistoryError> {
    let before = files.len();
    if is_remote(path) {
        collect_remote(path, files)?;
    } else if path.is_dir() {
        collect_folder(path, 0, files)?;
    } else if path.exists() {
        files.push(path.to_owned());
    } else {
        collect_glob(path, files)?;
    }
    if files.len() == before {
        return Err(HistoryError::NoFiles(path.display().to_string()));
    }
    Ok(())
}

fn collect_folder(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), HistoryError> {
    let entries = fs::read_dir(folder).map_err(|error| HistoryError::io(folder, error))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(
            entry
                .map_err(|error| HistoryError::io(folder, error))?
                .path(),
        );
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if depth < MAX_FOLDER_DEPTH {
                collect_folder(&path, depth + 1, files)?;
            }
        } else if is_parquet(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn collect_glob(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), HistoryError> {
    let pattern = path.to_string_lossy();
    if !pattern.contains(['*', '?', '[']) {
        return Ok(());
    }
    let matches = glob::glob(&pattern).map_err(|error| HistoryError::Glob {
        pattern: pattern.to_string(),
        reason: error.to_string(),
    })?;
    for found in matches {
        let found = found.map_err(|error| {
            let path = error.path().to_owned();
            HistoryError::io(&path, error.into())
        })?;
        if found.is_dir() {
            collect_folder(&found, 0, files)?;
        } else {
            files.push(found);
        }
    }
    Ok(())
}

/// An object, all objects below a prefix, or those of them that a glob matches.
fn collect_remote(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), HistoryError> {
    let text = path.to_string_lossy();
    if let Some(first) = text.find(['*', '?', '[']) {
        let pattern = glob::Pattern::new(&text).map_err(|error| HistoryError::Glob {
            pattern: text.to_string(),
            reason: error.to_string(),
        })?;
        let folder = text[..first]
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let found = parquet_files(Path::new(folder))?.into_iter();
        files.extend(found.filter(|path| pattern.matches(&path.to_string_lossy())));
    } else if is_parquet(path) && remote_file_exists(path)? {
        files.push(path.to_owned());
    } else {
        files.extend(parquet_files(path)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_gives_its_parquet_files_sorted() {
        let folder = folder_with(&["b.parquet", "a.parquet", "note.txt", "day/c.parquet"]);
        let paths = HistoryPaths::expand(&[folder.path()]).unwrap();
        let names: Vec<_> = paths
            .files()
            .iter()
            .map(|file| file.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.parquet", "b.parquet", "c.parquet"]);
    }

    #[test]
    fn a_file_given_twice_is_read_once() {
        let folder = folder_with(&["a.parquet"]);
        let file = folder.path().join("a.parquet");
        let pattern = folder.path().join("*.parquet");
        let paths = HistoryPaths::expand(&[&file, &pattern, folder.path()]).unwrap();
        assert_eq!(paths.files().len(), 1);
    }

    #[test]
    fn a_path_without_history_is_named() {
        let folder = folder_with(&["note.txt"]);
        let missing = folder.path().join("absent.parquet");
        let pattern = folder.path().join("*.parquet");
        for path in [folder.path(), &missing, &pattern] {
            let error = HistoryPaths::expand(&[path]).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
