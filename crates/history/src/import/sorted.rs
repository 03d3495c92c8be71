//! Requests are put into the order of their time with bounded memory.

use std::{cmp::Ordering, collections::BinaryHeap, path::Path};

use foreshadow_types::Timestamp;

use crate::{HistoryError, RequestRecord, RequestWriter};

/// Requests held back: a log of up to this many is sorted whole, a longer one may have rows out of
/// place by this many.
const WINDOW: usize = 1 << 20;

/// Writes requests in the order of their time; equal times keep the order they came in.
#[derive(Debug)]
pub(super) struct SortedRequests {
    writer: RequestWriter,
    window: usize,
    held: BinaryHeap<Held>,
    received: u64,
    written_to: Timestamp,
}

#[derive(Debug)]
struct Held {
    number: u64,
    record: RequestRecord,
}

impl SortedRequests {
    pub(super) fn create(path: &Path) -> Result<Self, HistoryError> {
        Ok(Self {
            writer: RequestWriter::create(path)?,
            window: WINDOW,
            held: BinaryHeap::new(),
            received: 0,
            written_to: Timestamp::MIN,
        })
    }

    /// Takes the next request; `false` if it is too far out of place.
    #[must_use = "a request that is out of place has not been taken"]
    pub(super) fn push(&mut self, record: RequestRecord) -> Result<bool, HistoryError> {
        if record.at < self.written_to {
            return Ok(false);
        }
        self.received += 1;
        self.held.push(Held {
            number: self.received,
            record,
        });
        if self.held.len() > self.window {
            self.write_earliest()?;
        }
        Ok(true)
    }

    pub(super) fn finish(mut self) -> Result<(), HistoryError> {
        while !self.held.is_empty() {
            self.write_earliest()?;
        }
        self.writer.finish()
    }

    fn write_earliest(&mut self) -> Result<(), HistoryError> {
        let Some(earliest) = self.held.pop() else {
            return Ok(());
        };
        self.written_to = earliest.record.at;
        self.writer.write(&earliest.record)
    }
}

/// The greatest of a heap is the earliest.
impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |held: &Self| (held.record.at, held.number);
        key(other).cmp(&key(self))
    }
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

#[cfg(test)]
mod tests {
    use foreshadow_types::PoolName;

    use super::*;
    use crate::{HistoryPaths, RequestReader};

    fn request(seconds: i64) -> RequestRecord {
        RequestRecord {
            at: Timestamp::from_millis(seconds * 1_000),
            user: None,
            application: None,
            pool: PoolName::new("p").unwrap(),
            hold: None,
            vcpus: None,
            memory: None,
            merge_key: None,
        }
    }

    #[test]
    fn rows_out_of_place_within_the_window_are_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.parquet");
        let mut sorted = SortedRequests::create(&path).unwrap();
        sorted.window = 2;
        for second in [3, 1, 2, 5, 4] {
            assert!(sorted.push(request(second)).unwrap());
        }
        assert!(
            !sorted.push(request(0)).unwrap(),
            "too late to be sorted in"
        );
        sorted.finish().unwrap();
        let reader = RequestReader::open(&HistoryPaths::expand(&[path]).unwrap()).unwrap();
        let seconds: Vec<_> = reader.map(|r| r.unwrap().at.as_millis() / 1_000).collect();
        assert_eq!(seconds, [1, 2, 3, 4, 5]);
    }
}
