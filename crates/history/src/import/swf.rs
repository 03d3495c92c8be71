//! The Standard Workload Format of the Parallel Workloads Archive
//! (<https://www.cs.huji.ac.il/labs/parallel/workload/swf.html>).

use std::{
    fmt::Display,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_types::{ApplicationId, Bytes, PoolName, Timestamp, UserId, Vcpus};

use super::{ImportSummary, Tally, sorted::SortedRequests};
use crate::{HistoryError, RequestRecord};

/// Names and positions (from 0) of the fields that are used.
const SUBMIT: (&str, usize) = ("submit time", 1);
const RUN: (&str, usize) = ("run time", 3);
const ALLOCATED: (&str, usize) = ("allocated processors", 4);
const USED_MEMORY: (&str, usize) = ("used memory", 6);
const REQUESTED: (&str, usize) = ("requested processors", 7);
const REQUESTED_MEMORY: (&str, usize) = ("requested memory", 9);
const USER: (&str, usize) = ("user", 11);
const GROUP: (&str, usize) = ("group", 12);
const EXECUTABLE: (&str, usize) = ("executable", 13);

/// Fields that a line has at the least.
const FIELDS: usize = 14;

/// How jobs become requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwfOptions {
    /// The pool that all requests are for.
    pub pool: PoolName,
    /// When the log starts; needed where its header has no `UnixStartTime`.
    pub start: Option<Timestamp>,
}

/// Turns SWF logs into one request history, sorted by time.
///
/// A job is a request at its submit time, held for its run time, of its allocated (else requested)
/// processors and its requested (else used) memory. The user becomes `user-N`; the application is
/// the executable, `exe-N`, or else the group, `group-N`. What the log marks as unknown (−1) is null.
///
/// # Errors
/// [`HistoryError`] names the file, field and line at fault.
pub fn import_swf(
    files: &[PathBuf],
    out: &Path,
    options: &SwfOptions,
) -> Result<ImportSummary, HistoryError> {
    let Some(first) = files.first() else {
        return Err(HistoryError::NoFiles(String::new()));
    };
    let mut tally = Tally::default();
    let mut writer = SortedRequests::create(out)?;
    for path in files {
        import_file(path, options, &mut writer, &mut tally)?;
    }
    let summary = tally.summary(first)?;
    writer.finish()?;
    Ok(summary)
}

fn import_file(
    path: &Path,
    options: &SwfOptions,
    writer: &mut SortedRequests,
    tally: &mut Tally,
) -> Result<(), HistoryError> {
    let failed = |error| HistoryError::io(path, error);
    let mut start = options.start;
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        if lines.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            return Ok(());
        }
        number += 1;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim();
        if let Some(comment) = text.strip_prefix(';') {
            start = start.or_else(|| start_time(comment));
        } else if !text.is_empty() {
            let line = Line::split(path, number, text)?;
            let record = line.request(start, options)?;
            let at = record.at;
            if !writer.push(record)? {
                return Err(line.error(SUBMIT.0, "it is too far out of order; sort by time"));
            }
            tally.add(at);
        }
    }
}

/// `UnixStartTime: 1132444805`
fn start_time(comment: &str) -> Option<Timestamp> {
    let (name, value) = comment.split_once(':')?;
    let seconds: i64 = value.split_whitespace().next()?.parse().ok()?;
    let is_start = name.trim().eq_ignore_ascii_case("UnixStartTime");
    (is_start && seconds > 0).then(|| Timestamp::from_millis(seconds.saturating_mul(1_000)))
}

/// One job.
struct Line<'a> {
    path: &'a Path,
    number: u64,
    fields: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn split(path: &'a Path, number: u64, text: &'a str) -> Result<Self, HistoryError> {
        let fields: Vec<_> = text.split_whitespace().collect();
        let line = Self {
            path,
            number,
            fields,
        };
        if line.fields.len() < FIELDS {
            let found = line.fields.len();
            return Err(line.error("all", &format!("{found} fields; a job has 18")));
        }
        Ok(line)
    }

    fn error(&self, field: &str, reason: &(impl Display + ?Sized)) -> HistoryError {
        HistoryError::Row {
            path: self.path.to_owned(),
            column: field.to_owned(),
            row: self.number,
            reason: reason.to_string(),
        }
    }

    /// A field's number, `None` if it is unknown.
    fn known(&self, (name, position): (&str, usize)) -> Result<Option<f64>, HistoryError> {
        let text = self.fields[position];
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number.abs() < 1e15 => {
                Ok(Some(number).filter(|&number| number >= 0.0))
            }
            _ => Err(self.error(name, &format!("`{text}` is not a number"))),
        }
    }

    fn request(
        &self,
        start: Option<Timestamp>,
        options: &SwfOptions,
    ) -> Result<RequestRecord, HistoryError> {
        let start = start.ok_or_else(|| {
            self.error(
                SUBMIT.0,
                "the header has no UnixStartTime; give the log's --start",
            )
        })?;
        let submit = self
            .known(SUBMIT)?
            .ok_or_else(|| self.error(SUBMIT.0, "it is unknown, so the job has no time"))?;
        let processors = self.first_positive([ALLOCATED, REQUESTED])?;
        let kilobytes = self.first_positive([REQUESTED_MEMORY, USED_MEMORY])?;
        let hold = self
            .known(RUN)?
            .map(Duration::try_from_secs_f64)
            .transpose();
        Ok(RequestRecord {
            at: start + Duration::from_millis((submit * 1e3) as u64),
            user: self.name("user", USER, UserId::new)?,
            application: match self.name("exe", EXECUTABLE, ApplicationId::new)? {
                None => self.name("group", GROUP, ApplicationId::new)?,
                known => known,
            },
            pool: options.pool.clone(),
            hold: hold.map_err(|error| self.error(RUN.0, &error))?,
            vcpus: processors.and_then(|count| Vcpus::new(count).ok()),
            memory: kilobytes.map(|each| Bytes((each * 1024.0 * processors.unwrap_or(1.0)) as u64)),
            merge_key: None,
        })
    }

    fn first_positive(&self, fields: [(&str, usize); 2]) -> Result<Option<f64>, HistoryError> {
        for field in fields {
            if let Some(number) = self.known(field)?.filter(|&number| number > 0.0) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn name<T>(
        &self,
        kind: &str,
        field: (&str, usize),
        new: impl Fn(&str) -> Result<T, foreshadow_types::IdError>,
    ) -> Result<Option<T>, HistoryError> {
        let number = self.known(field)?;
        let name = number
            .map(|number| new(&format!("{kind}-{number}")))
            .transpose();
        name.map_err(|error| self.error(field.0, &error))
    }
}
