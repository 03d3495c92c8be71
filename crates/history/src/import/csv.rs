//! Comma-separated values with the columns of one of the schemas.

use std::{
    fmt::Display,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use csv::{Reader, StringRecord};
use foreshadow_types::{
    ApplicationId, Bytes, EntityId, IdError, MergeKey, PoolName, Timestamp, UserId, Vcpus,
};

use super::{ImportSummary, Tally, sorted::SortedRequests};
use crate::{
    HistoryError, RequestRecord, UsageWriter, column,
    request::MAX_HOLD_MS,
    schema::{
        APPLICATION_ID, ENTITY_ID, HOLD_MS, MEMORY_BYTES, MERGE_KEY, POOL, TIMESTAMP, USER_ID,
        VCPUS,
    },
};

/// Turns CSV files with a header line into one history file.
///
/// The columns are those of usage or of request history; times are RFC 3339 (without an offset: UTC)
/// or numbers since 1970 whose magnitude tells the unit; an empty cell, `null` or `NaN` is absent.
/// Of usage, `metrics` are written, or every further column. Requests are sorted by time, usage
/// keeps its order.
///
/// # Errors
/// [`HistoryError`] names the file, column and row (counted from 1 after the header) at fault.
pub fn import_csv(
    files: &[PathBuf],
    out: &Path,
    metrics: Option<&[String]>,
) -> Result<ImportSummary, HistoryError> {
    let Some(first) = files.first() else {
        return Err(HistoryError::NoFiles(String::new()));
    };
    let table = Table::open(first)?;
    if table.has(ENTITY_ID) {
        let metrics = metrics.map_or_else(|| table.further_columns(), <[String]>::to_vec);
        import_usage(files, out, &metrics)
    } else if table.has(POOL) {
        import_requests(files, out)
    } else {
        Err(table.missing(ENTITY_ID))
    }
}

fn import_usage(
    files: &[PathBuf],
    out: &Path,
    metrics: &[String],
) -> Result<ImportSummary, HistoryError> {
    let mut tally = Tally::default();
    let mut writer = UsageWriter::create(out, metrics)?;
    for path in files {
        let mut table = Table::open(path)?;
        for column in [TIMESTAMP, ENTITY_ID] {
            table.position(column)?;
        }
        for metric in metrics {
            table.position(metric)?;
        }
        while table.next()? {
            let at = table.time()?;
            let entity = table.name(ENTITY_ID, EntityId::new)?;
            let entity = entity.ok_or_else(|| table.error(ENTITY_ID, "it is absent"))?;
            let values = metrics.iter().map(|metric| table.number(metric));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            writer.write(at, &entity, &values)?;
            tally.add(at);
        }
    }
    let summary = tally.summary(&files[0])?;
    writer.finish()?;
    Ok(summary)
}

fn import_requests(files: &[PathBuf], out: &Path) -> Result<ImportSummary, HistoryError> {
    let mut tally = Tally::default();
    let mut writer = SortedRequests::create(out)?;
    for path in files {
        let mut table = Table::open(path)?;
        for column in [TIMESTAMP, POOL] {
            table.position(column)?;
        }
        while table.next()? {
            let record = table.request()?;
            let at = record.at;
            if !writer.push(record)? {
                return Err(table.error(TIMESTAMP, "it is too far out of order; sort by time"));
            }
            tally.add(at);
        }
    }
    let summary = tally.summary(&files[0])?;
    writer.finish()?;
    Ok(summary)
}

/// A CSV file and the row it is at.
struct Table {
    path: PathBuf,
    header: Vec<String>,
    reader: Reader<File>,
    row: StringRecord,
    number: u64,
}

impl Table {
    fn open(path: &Path) -> Result<Self, HistoryError> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(|error| malformed(path, &error))?;
        let header = reader.headers().map_err(|error| malformed(path, &error))?;
        let header = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').to_owned())
            .collect();
        let table = Self {
            path: path.to_owned(),
            header,
            reader,
            row: StringRecord::new(),
            number: 0,
        };
        table.position(TIMESTAMP)?;
        Ok(table)
    }

    fn has(&self, column: &str) -> bool {
        self.header.iter().any(|name| name == column)
    }

    fn position(&self, column: &str) -> Result<usize, HistoryError> {
        let position = self.header.iter().position(|name| name == column);
        position.ok_or_else(|| self.missing(column))
    }

    fn missing(&self, column: &str) -> HistoryError {
        HistoryError::MissingColumn {
            path: self.path.clone(),
            column: column.to_owned(),
            found: self.header.join(", "),
        }
    }

    fn further_columns(&self) -> Vec<String> {
        let further = self.header.iter();
        further
            .filter(|name| *name != TIMESTAMP && *name != ENTITY_ID)
            .cloned()
            .collect()
    }

    /// Moves on to the next row; `false` at the end.
    fn next(&mut self) -> Result<bool, HistoryError> {
        self.number += 1;
        self.reader
            .read_record(&mut self.row)
            .map_err(|error| malformed(&self.path, &error))
    }

    fn error(&self, column: &str, reason: &(impl Display + ?Sized)) -> HistoryError {
        HistoryError::Row {
            path: self.path.clone(),
            column: column.to_owned(),
            row: self.number,
            reason: reason.to_string(),
        }
    }

    /// The cell's text; `None` if the column or the value is absent.
    fn cell(&self, column: &str) -> Option<&str> {
        let position = self.header.iter().position(|name| name == column)?;
        let text = self.row.get(position)?;
        let absent = text.is_empty()
            || text.eq_ignore_ascii_case("null")
            || text.eq_ignore_ascii_case("nan");
        (!absent).then_some(text)
    }

    fn time(&self) -> Result<Timestamp, HistoryError> {
        let text = self
            .cell(TIMESTAMP)
            .ok_or_else(|| self.error(TIMESTAMP, "the time is absent"))?;
        column::time_of_text(text).map_err(|reason| self.error(TIMESTAMP, &reason))
    }

    fn number(&self, column: &str) -> Result<Option<f64>, HistoryError> {
        self.cell(column)
            .map(|text| {
                text.parse()
                    .map_err(|_| self.error(column, &format!("`{text}` is not a number")))
            })
            .transpose()
    }

    fn name<T>(
        &self,
        column: &str,
        new: impl Fn(&str) -> Result<T, IdError>,
    ) -> Result<Option<T>, HistoryError> {
        let name = self.cell(column).map(new).transpose();
        name.map_err(|error| self.error(column, &error))
    }

    fn request(&self) -> Result<RequestRecord, HistoryError> {
        let vcpus = self.number(VCPUS)?.map(Vcpus::new).transpose();
        let pool = self.name(POOL, PoolName::new)?;
        Ok(RequestRecord {
            at: self.time()?,
            user: self.name(USER_ID, UserId::new)?,
            application: self.name(APPLICATION_ID, ApplicationId::new)?,
            pool: pool.ok_or_else(|| self.error(POOL, "it is absent"))?,
            hold: self
                .bounded(HOLD_MS, MAX_HOLD_MS)?
                .map(|ms| Duration::from_millis(ms.round() as u64)),
            vcpus: vcpus.map_err(|error| self.error(VCPUS, &error))?,
            memory: self
                .bounded(MEMORY_BYTES, u64::MAX as f64)?
                .map(|bytes| Bytes(bytes as u64)),
            merge_key: self.name(MERGE_KEY, MergeKey::new)?,
        })
    }

    /// A number from zero to `most`.
    fn bounded(&self, column: &str, most: f64) -> Result<Option<f64>, HistoryError> {
        let number = self.number(column)?;
        match number {
            Some(number) if !(0.0..=most).contains(&number) => Err(self.error(
                column,
                &format!("{number} is not in the range 0 to {most:e}"),
            )),
            number => Ok(number),
        }
    }
}

fn malformed(path: &Path, error: &csv::Error) -> HistoryError {
    HistoryError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
