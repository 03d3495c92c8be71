//! Rows that are not in a Parquet file yet, kept in append-only files so that a crash of the process
//! loses none that was acknowledged.
//!
//! A segment is a file of frames: length and CRC-32 of the payload, four bytes each, little endian,
//! then the payload. A frame that a crash has cut short ends its segment. What is appended has been
//! handed to the operating system: it survives the end of the process, not a loss of power.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

const HEADER: usize = 8;
/// A longer payload is not ours.
const MAX_PAYLOAD: usize = 1 << 30;
const EXTENSION: &str = "log";

/// The segment that is being written.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    name: &'static str,
    number: u64,
    file: File,
    bytes: u64,
    /// More may lie in the file than `bytes`.
    torn: bool,
    frame: Vec<u8>,
}

impl Journal {
    /// Begins the segment `number` of the journal `name`.
    ///
    /// # Errors
    /// If the file cannot be created, or is there already.
    pub fn begin(folder: &Path, name: &'static str, number: u64) -> io::Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            name,
            number,
            file: create(folder, name, number)?,
            bytes: 0,
            torn: false,
            frame: Vec::new(),
        })
    }

    /// The number of the segment that is being written.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How much the segment holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends one payload; when this returns it is with the operating system.
    ///
    /// # Errors
    /// If the disk fails. What follows a torn frame cannot be read, so it is cut off before anything
    /// else is appended; until that succeeds every append fails.
    pub fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        self.frame.clear();
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        self.frame.extend(length.to_le_bytes());
        self.frame.extend(crc32fast::hash(payload).to_le_bytes());
        self.frame.extend(payload);
        if self.torn {
            self.file.set_len(self.bytes)?;
        }
        self.torn = true;
        self.file.write_all(&self.frame)?;
        self.torn = false;
        self.bytes += self.frame.len() as u64;
        Ok(())
    }

    /// Ends the segment and begins the next; gives the number of the one that has ended.
    ///
    /// # Errors
    /// If the next cannot be created; the present one then goes on.
    pub fn rotate(&mut self) -> io::Result<u64> {
        let ended = self.number;
        self.file = create(&self.folder, self.name, ended + 1)?;
        self.number = ended + 1;
        self.bytes = 0;
        self.torn = false;
        Ok(ended)
    }
}

/// A segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number; later ones have higher numbers.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
}

/// The segments of a journal, the oldest first.
///
/// # Errors
/// If the folder cannot be read.
pub fn segments(folder: &Path, name: &str) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .extension()
            .filter(|end| *end == EXTENSION)
            .and_then(|_| path.file_stem()?.to_str()?.strip_prefix(name))
            .and_then(|rest| rest.strip_prefix('-')?.parse().ok());
        if let Some(number) = number {
            found.push(Segment { number, path });
        }
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

/// Reads the payloads of a segment in order, up to its end or the first frame that is not whole.
///
/// # Errors
/// If the file cannot be read.
pub fn read_segment(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = io::BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut header = [0; HEADER];
    let mut payload = Vec::new();
    while whole(file.read_exact(&mut header))? {
        let word = |at: usize| {
            let bytes: [u8; 4] = std::array::from_fn(|i| header[at + i]);
            u32::from_le_bytes(bytes)
        };
        let length = word(0) as usize;
        if length > MAX_PAYLOAD {
            return Ok(());
        }
        payload.clear();
        let read = (&mut file).take(length as u64).read_to_end(&mut payload)?;
        if read < length || crc32fast::hash(&payload) != word(4) {
            return Ok(());
        }
        take(&payload);
    }
    Ok(())
}

/// Removes a segment whose rows are kept elsewhere by now. One that is gone already is no error.
///
/// # Errors
/// If the file cannot be removed.
pub fn remove_segment(folder: &Path, name: &str, number: u64) -> io::Result<()> {
    match fs::remove_file(path_of(folder, name, number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn whole(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn create(folder: &Path, name: &str, number: u64) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path_of(folder, name, number))
}

fn path_of(folder: &Path, name: &str, number: u64) -> PathBuf {
    folder.join(format!("{name}-{number}.{EXTENSION}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(path: &Path) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        read_segment(path, |payload| found.push(payload.to_vec())).unwrap();
        found
    }

    #[test]
    fn what_was_appended_is_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(folder.path(), "usage", 7).unwrap();
        journal.append(b"one").unwrap();
        journal.append(b"").unwrap();
        assert_eq!(journal.rotate().unwrap(), 7);
        journal.append(b"two").unwrap();
        let found = segments(folder.path(), "usage").unwrap();
        let numbers: Vec<u64> = found.iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [7, 8]);
        assert_eq!(payloads(&found[0].path), [b"one".to_vec(), Vec::new()]);
        assert_eq!(payloads(&found[1].path), [b"two".to_vec()]);
        remove_segment(folder.path(), "usage", 7).unwrap();
        remove_segment(folder.path(), "usage", 7).unwrap();
        assert_eq!(segments(folder.path(), "usage").unwrap().len(), 1);
        assert_eq!(segments(folder.path(), "other").unwrap(), []);
    }

    #[test]
    fn a_torn_or_damaged_frame_ends_the_segment_and_nothing_before_it_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(folder.path(), "usage", 1).unwrap();
        for payload in [b"first", b"other", b"third"] {
            journal.append(payload).unwrap();
        }
        let path = path_of(folder.path(), "usage", 1);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(payloads(&path).len(), cut / 13, "cut at {cut}");
        }
        let mut damaged = whole.clone();
        damaged[13 + HEADER] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(payloads(&path), [b"first".to_vec()]);
    }
}
