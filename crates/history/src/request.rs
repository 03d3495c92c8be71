//! One request of the history.

use std::{collections::HashMap, time::Duration};

use arrow::array::{Array, Float64Array, StringArray};
use foreshadow_types::{
    ApplicationId, Bytes, IdError, MergeKey, PoolName, Timestamp, UserId, Vcpus,
};

use crate::{
    HistoryError,
    file::Batch,
    schema::{APPLICATION_ID, HOLD_MS, MEMORY_BYTES, MERGE_KEY, POOL, TIMESTAMP, USER_ID, VCPUS},
};

/// The columns of a request file, the optional ones included.
pub(crate) const REQUEST_COLUMNS: [&str; 8] = [
    TIMESTAMP,
    USER_ID,
    APPLICATION_ID,
    POOL,
    HOLD_MS,
    VCPUS,
    MEMORY_BYTES,
    MERGE_KEY,
];

/// The most names kept for sharing; beyond it the memory is dropped and filled anew.
const MAX_SHARED_NAMES: usize = 65_536;

/// One request for a resource of a pool. What was not recorded is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord {
    /// When it arrived.
    pub at: Timestamp,
    /// Who asked.
    pub user: Option<UserId>,
    /// What for.
    pub application: Option<ApplicationId>,
    /// The kind of resource.
    pub pool: PoolName,
    /// How long the granted resource was held.
    pub hold: Option<Duration>,
    /// Virtual CPUs asked for.
    pub vcpus: Option<Vcpus>,
    /// Memory asked for.
    pub memory: Option<Bytes>,
    /// With whom it may share an instance: requests of one pool with the same key are one work.
    pub merge_key: Option<MergeKey>,
}

/// Turns batches into records; equal names share their memory.
#[derive(Debug, Default)]
pub(crate) struct RequestParser {
    users: Names<UserId>,
    applications: Names<ApplicationId>,
    pools: Names<PoolName>,
    merge_keys: Names<MergeKey>,
}

impl RequestParser {
    pub(crate) fn parse(&mut self, batch: &Batch) -> Result<Vec<RequestRecord>, HistoryError> {
        let times = batch.times(TIMESTAMP)?;
        let columns = Columns::of(batch)?;
        let mut records = Vec::with_capacity(times.len());
        for (row, at) in times.into_iter().enumerate() {
            records.push(self.record(batch, &columns, row, at)?);
        }
        Ok(records)
    }

    fn record(
        &mut self,
        batch: &Batch,
        columns: &Columns,
        row: usize,
        at: Timestamp,
    ) -> Result<RequestRecord, HistoryError> {
        let at_column = |column| move |reason: String| batch.row_error(column, row, &reason);
        let pool = text(Some(&columns.pool), row).ok_or_else(|| {
            batch.row_error(POOL, row, "the pool is absent; every request names one")
        })?;
        Ok(RequestRecord {
            at,
            user: self
                .users
                .optional(text(columns.user.as_ref(), row), UserId::new)
                .map_err(at_column(USER_ID))?,
            application: self
                .applications
                .optional(text(columns.application.as_ref(), row), ApplicationId::new)
                .map_err(at_column(APPLICATION_ID))?,
            pool: self
                .pools
                .shared(pool, PoolName::new)
                .map_err(at_column(POOL))?,
            hold: hold(columns, row).map_err(at_column(HOLD_MS))?,
            vcpus: vcpus(columns, row).map_err(at_column(VCPUS))?,
            memory: memory(columns, row).map_err(at_column(MEMORY_BYTES))?,
            merge_key: self
                .merge_keys
                .optional(text(columns.merge_key.as_ref(), row), MergeKey::new)
                .map_err(at_column(MERGE_KEY))?,
        })
    }
}

/// The decoded columns of one batch.
struct Columns {
    user: Option<StringArray>,
    application: Option<StringArray>,
    pool: StringArray,
    hold_ms: Option<Float64Array>,
    vcpus: Option<Float64Array>,
    memory_bytes: Option<Float64Array>,
    merge_key: Option<StringArray>,
}

impl Columns {
    fn of(batch: &Batch) -> Result<Self, HistoryError> {
        let texts = |column| {
            let present = batch.column(column).is_ok();
            present.then(|| batch.texts(column)).transpose()
        };
        let numbers = |column| {
            let present = batch.column(column).is_ok();
            present.then(|| batch.numbers(column)).transpose()
        };
        Ok(Self {
            user: texts(USER_ID)?,
            application: texts(APPLICATION_ID)?,
            pool: batch.texts(POOL)?,
            hold_ms: numbers(HOLD_MS)?,
            vcpus: numbers(VCPUS)?,
            memory_bytes: numbers(MEMORY_BYTES)?,
            merge_key: texts(MERGE_KEY)?,
        })
    }
}

/// An empty text says as little as an absent one.
fn text(column: Option<&StringArray>, row: usize) -> Option<&str> {
    let column = column.filter(|column| column.is_valid(row))?;
    Some(column.value(row)).filter(|text| !text.is_empty())
}

fn number(column: Option<&Float64Array>, row: usize) -> Option<f64> {
    let column = column.filter(|column| column.is_valid(row))?;
    Some(column.value(row)).filter(|number| !number.is_nan())
}

/// The longest hold that is believable: a hundred years.
pub(crate) const MAX_HOLD_MS: f64 = 100.0 * 366.0 * 86_400_000.0;

fn hold(columns: &Columns, row: usize) -> Result<Option<Duration>, String> {
    match number(columns.hold_ms.as_ref(), row) {
        None => Ok(None),
        Some(ms) if (0.0..=MAX_HOLD_MS).contains(&ms) => {
            Ok(Some(Duration::from_millis(ms.round() as u64)))
        }
        Some(ms) => Err(format!(
            "{ms} ms is not a hold time; it is zero or more, or null where it is unknown"
        )),
    }
}

fn vcpus(columns: &Columns, row: usize) -> Result<Option<Vcpus>, String> {
    number(columns.vcpus.as_ref(), row)
        .map(|vcpus| Vcpus::new(vcpus).map_err(|error| error.to_string()))
        .transpose()
}

fn memory(columns: &Columns, row: usize) -> Result<Option<Bytes>, String> {
    match number(columns.memory_bytes.as_ref(), row) {
        None => Ok(None),
        Some(bytes) if (0.0..=u64::MAX as f64).contains(&bytes) => Ok(Some(Bytes(bytes as u64))),
        Some(bytes) => Err(format!(
            "{bytes} is not a number of bytes; it is zero or more, or null where it is unknown"
        )),
    }
}

#[derive(Debug)]
struct Names<T>(HashMap<Box<str>, T>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Names<T> {
    fn optional(
        &mut self,
        name: Option<&str>,
        new: impl Fn(&str) -> Result<T, IdError>,
    ) -> Result<Option<T>, String> {
        name.map(|name| self.shared(name, new)).transpose()
    }

    fn shared(
        &mut self,
        name: &str,
        new: impl Fn(&str) -> Result<T, IdError>,
    ) -> Result<T, String> {
        if let Some(known) = self.0.get(name) {
            return Ok(known.clone());
        }
        if self.0.len() >= MAX_SHARED_NAMES {
            self.0.clear();
        }
        let fresh = new(name).map_err(|error| error.to_string())?;
        self.0.insert(name.into(), fresh.clone());
        Ok(fresh)
    }
}
