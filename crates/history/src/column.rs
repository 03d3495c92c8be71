//! Arrow columns of any width, unit and encoding as the few types that history is made of.

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
};
use foreshadow_types::Timestamp;

use crate::{HistoryError, file::Batch};

/// Whether a column can be read as numbers.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_number(value),
        DataType::Null | DataType::Boolean => true,
        other => other.is_numeric(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_text(value),
        DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => true,
        other => other.is_integer(),
    }
}

impl Batch {
    /// Times of every row, in milliseconds since the epoch; none may be absent.
    ///
    /// Timestamps of any unit, dates, and text in RFC 3339 are read; of a plain number the
    /// magnitude tells seconds, milliseconds, microseconds or nanoseconds since the epoch.
    pub(crate) fn times(&self, column: &str) -> Result<Vec<Timestamp>, HistoryError> {
        let array = self.column(column)?;
        let millis = match array.data_type() {
            DataType::Timestamp(unit, _) => {
                let unit = *unit;
                self.integers(column, array)?
                    .iter()
                    .map(|time| time.map(|time| to_millis(time, unit)))
                    .collect()
            }
            DataType::Date32 => {
                let days = self.cast(column, array, &DataType::Int32)?;
                let days = self.integers(column, &days)?;
                days.iter()
                    .map(|day| day.map(|day| day * 86_400_000))
                    .collect()
            }
            DataType::Date64 => self.integers(column, array)?.iter().collect(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                self.written_times(column)?
            }
            other if other.is_integer() => self
                .integers(column, array)?
                .iter()
                .map(|time| time.map(guess_integer_unit))
                .collect(),
            other if other.is_floating() => self
                .numbers(column)?
                .iter()
                .map(|time| time.filter(|time| time.is_finite()).map(guess_float_unit))
                .collect::<Vec<_>>(),
            other => return Err(self.type_error(column, other, "a time")),
        };
        self.all_present(column, millis)
    }

    /// Text of every row; integers are read as text too.
    pub(crate) fn texts(&self, column: &str) -> Result<StringArray, HistoryError> {
        let array = self.column(column)?;
        if !is_text(array.data_type()) {
            return Err(self.type_error(column, array.data_type(), "text"));
        }
        let text = self.cast(column, array, &DataType::Utf8)?;
        Ok(text.as_string::<i32>().clone())
    }

    /// Numbers of every row.
    pub(crate) fn numbers(&self, column: &str) -> Result<Float64Array, HistoryError> {
        let array = self.column(column)?;
        if !is_number(array.data_type()) {
            return Err(self.type_error(column, array.data_type(), "a number"));
        }
        let numbers = self.cast(column, array, &DataType::Float64)?;
        Ok(numbers.as_primitive::<Float64Type>().clone())
    }

    fn integers(&self, column: &str, array: &ArrayRef) -> Result<Int64Array, HistoryError> {
        let integers = self.cast(column, array, &DataType::Int64)?;
        Ok(integers.as_primitive::<Int64Type>().clone())
    }

    fn cast(
        &self,
        column: &str,
        array: &ArrayRef,
        to: &DataType,
    ) -> Result<ArrayRef, HistoryError> {
        if array.data_type() == to {
            return Ok(array.clone());
        }
        cast(array, to).map_err(|error| {
            HistoryError::parquet(self.path(), &format!("column `{column}`: {error}"))
        })
    }

    fn written_times(&self, column: &str) -> Result<Vec<Option<i64>>, HistoryError> {
        let texts = self.texts(column)?;
        let mut times = Vec::with_capacity(texts.len());
        for (row, text) in texts.iter().enumerate() {
            let time = text
                .map(time_of_text)
                .transpose()
                .map_err(|error| self.row_error(column, row, &error))?;
            times.push(time.map(Timestamp::as_millis));
        }
        Ok(times)
    }

    fn all_present(
        &self,
        column: &str,
        millis: Vec<Option<i64>>,
    ) -> Result<Vec<Timestamp>, HistoryError> {
        let mut times = Vec::with_capacity(millis.len());
        for (row, millis) in millis.into_iter().enumerate() {
            let millis = millis.ok_or_else(|| {
                self.row_error(column, row, "the time is absent; every row has one")
            })?;
            times.push(Timestamp::from_millis(millis));
        }
        Ok(times)
    }

    fn type_error(&self, column: &str, found: &DataType, expected: &'static str) -> HistoryError {
        HistoryError::ColumnType {
            path: self.path().to_owned(),
            column: column.to_owned(),
            found: found.to_string(),
            expected,
        }
    }
}

/// A time as text: RFC 3339, the same without an offset (which is UTC), or a number since 1970.
pub(crate) fn time_of_text(text: &str) -> Result<Timestamp, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Timestamp::from_millis(guess_integer_unit(number)));
    }
    if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) {
        return Ok(Timestamp::from_millis(guess_float_unit(number)));
    }
    Timestamp::parse(text)
        .or_else(|error| Timestamp::parse(&format!("{text}Z")).map_err(|_| error))
        .map_err(|error| format!("{error}, or seconds since 1970"))
}

fn to_millis(time: i64, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => time.saturating_mul(1_000),
        TimeUnit::Millisecond => time,
        TimeUnit::Microsecond => time.div_euclid(1_000),
        TimeUnit::Nanosecond => time.div_euclid(1_000_000),
    }
}

/// Seconds reach beyond the year 5000 before they look like milliseconds, and so on for each unit.
fn guess_integer_unit(time: i64) -> i64 {
    let unit = match time.unsigned_abs() {
        0..100_000_000_000 => TimeUnit::Second,
        100_000_000_000..100_000_000_000_000 => TimeUnit::Millisecond,
        100_000_000_000_000..100_000_000_000_000_000 => TimeUnit::Microsecond,
        100_000_000_000_000_000.. => TimeUnit::Nanosecond,
    };
    to_millis(time, unit)
}

/// Keeps the fraction of seconds, which is what floats are used for.
fn guess_float_unit(time: f64) -> i64 {
    if time.abs() < 1e11 {
        (time * 1e3).round() as i64
    } else {
        guess_integer_unit(time as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_read_as_the_unit_its_magnitude_tells() {
        let millis = 1_372_636_800_000;
        for time in [
            1_372_636_800,
            1_372_636_800_000,
            1_372_636_800_000_000,
            1_372_636_800_000_000_000,
        ] {
            assert_eq!(guess_integer_unit(time), millis);
            assert_eq!(guess_float_unit(time as f64), millis);
        }
        assert_eq!(guess_float_unit(1_372_636_800.25), millis + 250);
    }

    #[test]
    fn a_time_is_written_in_several_ways() {
        let expected = Ok(Timestamp::from_millis(1_372_636_800_000));
        for text in [
            "2013-07-01T00:00:00Z",
            "2013-07-01T02:00:00+02:00",
            "2013-07-01 00:00:00",
            "1372636800",
            "1372636800.0",
            "1372636800000",
        ] {
            assert_eq!(time_of_text(text), expected, "{text}");
        }
        assert!(time_of_text("tomorrow").is_err());
    }
}
