//! Requests of several files, in the order of their time.

use std::{path::PathBuf, vec};

use foreshadow_types::Timestamp;

use crate::{
    HistoryError, HistoryKind, HistoryPaths, RequestRecord,
    file::{Batches, HistoryFile},
    request::{REQUEST_COLUMNS, RequestParser},
    schema::{POOL, TIMESTAMP},
};

/// Streams the requests of several files, merged by time. Equal times keep the order of the files
/// and of the rows in them. Memory holds one batch of each file.
#[derive(Debug)]
pub struct RequestReader {
    sources: Vec<Source>,
    parser: RequestParser,
    failed: bool,
}

impl RequestReader {
    /// Opens every file and reads its first batch.
    ///
    /// # Errors
    /// [`HistoryError`] if a file cannot be read or does not have the schema of requests.
    pub fn open(paths: &HistoryPaths) -> Result<Self, HistoryError> {
        let mut parser = RequestParser::default();
        let mut sources = Vec::with_capacity(paths.files().len());
        for path in paths.files() {
            sources.push(Source::open(path.clone(), &mut parser)?);
        }
        Ok(Self {
            sources,
            parser,
            failed: false,
        })
    }

    fn earliest(&mut self) -> Option<&mut Source> {
        self.sources
            .iter_mut()
            .filter(|source| source.head.is_some())
            .min_by_key(|source| source.head.as_ref().map(|record| record.at))
    }
}

/// Ends after the first error.
impl Iterator for RequestReader {
    type Item = Result<RequestRecord, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut parser = std::mem::take(&mut self.parser);
        let record = self.earliest().map(|source| source.take(&mut parser))?;
        self.parser = parser;
        self.failed = record.is_err();
        record.transpose()
    }
}

/// One file: its next record, the rest of the batch, and the batches to come.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    batches: Batches,
    batch: vec::IntoIter<RequestRecord>,
    head: Option<RequestRecord>,
    row: u64,
}

impl Source {
    fn open(path: PathBuf, parser: &mut RequestParser) -> Result<Self, HistoryError> {
        let file = HistoryFile::open(&path)?;
        if let HistoryKind::Usage { .. } = HistoryKind::of_schema(&path, file.schema())? {
            return Err(HistoryError::MissingColumn {
                path,
                column: POOL.to_owned(),
                found: "those of a usage history".to_owned(),
            });
        }
        let mut source = Self {
            batches: file.batches(&REQUEST_COLUMNS)?,
            path,
            batch: Vec::new().into_iter(),
            head: None,
            row: 0,
        };
        source.advance(Timestamp::MIN, parser)?;
        Ok(source)
    }

    fn take(&mut self, parser: &mut RequestParser) -> Result<Option<RequestRecord>, HistoryError> {
        let record = self.head.take();
        if let Some(record) = &record {
            self.advance(record.at, parser)?;
        }
        Ok(record)
    }

    /// Moves on to the next record, which must not be earlier than the one before it.
    fn advance(
        &mut self,
        previous: Timestamp,
        parser: &mut RequestParser,
    ) -> Result<(), HistoryError> {
        while self.batch.len() == 0 {
            let Some(batch) = self.batches.next().transpose()? else {
                return Ok(());
            };
            self.batch = parser.parse(&batch)?.into_iter();
        }
        self.head = self.batch.next();
        self.row += 1;
        match &self.head {
            Some(head) if head.at < previous => Err(HistoryError::Row {
                path: self.path.clone(),
                column: TIMESTAMP.to_owned(),
                row: self.row,
                reason: format!(
                    "{} is earlier than the row before it; sort the file by time",
                    head.at
                ),
            }),
            _ => Ok(()),
        }
    }
}
