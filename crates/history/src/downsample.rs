//! Samples become means over a coarser grid.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::Duration,
};

use arrow::array::Array as _;
use foreshadow_types::{EntityId, Timestamp};

use crate::{
    HistoryError, HistoryKind, UsageWriter,
    file::{Batch, HistoryFile},
    panel::weights,
    past::Span,
    schema::{ENTITY_ID, SAMPLE_COUNT, TIMESTAMP},
};

/// Rows whose means are gathered at a time, unless those of one bin alone are more.
const MOST_ROWS: u64 = 1 << 20;

/// Writes the means of a usage file's samples over bins of `interval`, which begin at multiples of it
/// since 1970: one row for each bin, entity and number of samples, told in the column `sample_count`, so
/// that the means of longer intervals stay what they were. Rows are in the order of time, then entity. A
/// file of means can be made coarser again. `out` appears when it is whole. Gives the number of rows.
///
/// The file is read once for about each million of its rows, so that memory does not grow with it.
///
/// # Errors
/// [`HistoryError`] if the file is none of usage, or cannot be read or written.
///
/// # Panics
/// If `interval` is shorter than a millisecond.
pub fn downsample_usage(path: &Path, out: &Path, interval: Duration) -> Result<u64, HistoryError> {
    downsample(path, out, interval, MOST_ROWS)
}

fn downsample(
    path: &Path,
    out: &Path,
    interval: Duration,
    most_rows: u64,
) -> Result<u64, HistoryError> {
    let file = HistoryFile::open(path)?;
    let metrics = match HistoryKind::of_schema(path, file.schema())? {
        HistoryKind::Usage { metrics } => metrics,
        HistoryKind::Requests => {
            return Err(HistoryError::MissingColumn {
                path: path.to_owned(),
                column: ENTITY_ID.to_owned(),
                found: "those of a request history".to_owned(),
            });
        }
    };
    let mut columns = vec![TIMESTAMP, ENTITY_ID, SAMPLE_COUNT];
    columns.extend(metrics.iter().map(String::as_str));
    let mut writer = UsageWriter::of_means(out, &metrics)?;
    let mut rows = 0;
    for span in spans(&file, interval, most_rows)? {
        let mut means = Means::new(span, interval, &metrics);
        for batch in file.batches_within(&columns, &span)? {
            means.take(&batch?)?;
        }
        rows += means.write(&mut writer)?;
    }
    writer.finish()?;
    Ok(rows)
}

/// Spans of whole bins, each with about so many rows at the most.
fn spans(
    file: &HistoryFile,
    interval: Duration,
    most_rows: u64,
) -> Result<Vec<Span>, HistoryError> {
    let mut rows_of: BTreeMap<Timestamp, u64> = BTreeMap::new();
    for batch in file.batches(&[TIMESTAMP])? {
        for time in batch?.times(TIMESTAMP)? {
            *rows_of.entry(time.floor_to(interval)).or_default() += 1;
        }
    }
    let mut spans: Vec<Span> = Vec::new();
    let mut gathered = 0;
    for (bin, rows) in rows_of {
        let until = bin + interval;
        match spans.last_mut() {
            Some(last) if gathered + rows <= most_rows => last.until = until,
            _ => {
                spans.push(Span { from: bin, until });
                gathered = 0;
            }
        }
        gathered += rows;
    }
    Ok(spans)
}

/// A sum and of how many samples.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    sum: f64,
    samples: u32,
}

/// The means of all bins of a span.
struct Means<'a> {
    span: Span,
    interval: Duration,
    metrics: &'a [String],
    /// One cell for each metric.
    bins: BTreeMap<Timestamp, HashMap<Box<str>, Vec<Cell>>>,
}

impl<'a> Means<'a> {
    fn new(span: Span, interval: Duration, metrics: &'a [String]) -> Self {
        Self {
            span,
            interval,
            metrics,
            bins: BTreeMap::new(),
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        let times = batch.times(TIMESTAMP)?;
        if !times.iter().any(|time| self.span.holds(*time)) {
            return Ok(());
        }
        let entities = batch.texts(ENTITY_ID)?;
        let weights = weights(batch)?;
        let columns = self.metrics.iter().map(|metric| batch.numbers(metric));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for (row, time) in times.into_iter().enumerate() {
            if !self.span.holds(time) || entities.is_null(row) {
                continue;
            }
            let name = entities.value(row);
            EntityId::new(name).map_err(|error| batch.row_error(ENTITY_ID, row, &error))?;
            let weight = weights.as_ref().map_or(1, |weights| weights[row]);
            let cells = self.cells(time.floor_to(self.interval), name);
            for (cell, column) in cells.iter_mut().zip(&columns) {
                let value = column.value(row);
                if column.is_valid(row) && value.is_finite() {
                    cell.sum += value * f64::from(weight);
                    cell.samples = cell.samples.saturating_add(weight);
                }
            }
        }
        Ok(())
    }

    fn cells(&mut self, bin: Timestamp, name: &str) -> &mut Vec<Cell> {
        let entities = self.bins.entry(bin).or_default();
        if !entities.contains_key(name) {
            let empty = vec![Cell::default(); self.metrics.len()];
            entities.insert(name.into(), empty);
        }
        entities.entry(name.into()).or_default()
    }

    /// Metrics of which there were as many samples share a row.
    fn write(self, writer: &mut UsageWriter) -> Result<u64, HistoryError> {
        let mut rows = 0;
        let mut values = vec![None; self.metrics.len()];
        for (bin, entities) in self.bins {
            let mut entities: Vec<_> = entities.into_iter().collect();
            entities.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (name, cells) in entities {
                let mut counts: Vec<u32> = cells.iter().map(|cell| cell.samples).collect();
                counts.sort_unstable();
                counts.dedup();
                for count in counts.into_iter().filter(|count| *count > 0) {
                    for (value, cell) in values.iter_mut().zip(&cells) {
                        let mean = cell.sum / f64::from(cell.samples);
                        *value = (cell.samples == count).then_some(mean);
                    }
                    writer.write_mean(bin, &name, &values, count)?;
                    rows += 1;
                }
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::Panel;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::{HistoryPaths, PanelLimits, PanelOptions, load_panel};

    const SHORT: Duration = Duration::from_mins(5);
    const LONG: Duration = Duration::from_hours(1);

    type Row = (i64, u8, [Option<f64>; 2]);

    fn write(path: &Path, rows: &[Row]) {
        let mut writer = UsageWriter::create(path, &["cpu", "memory"]).unwrap();
        for (seconds, entity, values) in rows {
            let at = Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
            let entity = EntityId::new(&format!("e{entity}")).unwrap();
            writer.write(at, &entity, values).unwrap();
        }
        writer.finish().unwrap();
    }

    fn panel(path: &Path, interval: Duration) -> Panel {
        let options = PanelOptions {
            metrics: None,
            interval,
            until: None,
            limits: PanelLimits::Refuse {
                max_values: 1 << 20,
            },
        };
        load_panel(&HistoryPaths::expand(&[path]).unwrap(), &options).unwrap()
    }

    #[track_caller]
    fn assert_same(a: &Panel, b: &Panel) {
        assert_eq!(
            (a.ids(), a.bins(), a.start()),
            (b.ids(), b.bins(), b.start())
        );
        for series in 0..a.ids().len() {
            for (a, b) in a.series(series).iter().zip(b.series(series)) {
                let near = (a - b).abs() <= 1e-4 * a.abs().max(1.0);
                assert!(near || (a.is_nan() && b.is_nan()), "{a} became {b}");
            }
        }
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let value = || option::of(-100.0..100.0_f64);
        let values = [value(), value()];
        // Each row has a value, as rows have that come from samples.
        let values = values.prop_filter("no row is empty", |values| {
            values.iter().any(Option::is_some)
        });
        vec((0..20_000_i64, 0..3_u8, values), 1..200)
    }

    proptest! {
        #[test]
        fn means_of_the_interval_and_of_longer_ones_stay(rows in rows()) {
            let folder = tempfile::tempdir().unwrap();
            let [fine, short, long] =
                ["fine", "short", "long"].map(|name| folder.path().join(name));
            write(&fine, &rows);
            downsample(&fine, &short, SHORT, 7).unwrap();
            downsample(&short, &long, LONG, MOST_ROWS).unwrap();
            assert_same(&panel(&fine, SHORT), &panel(&short, SHORT));
            assert_same(&panel(&fine, LONG), &panel(&short, LONG));
            assert_same(&panel(&fine, LONG), &panel(&long, LONG));
        }

        #[test]
        fn what_is_coarse_already_stays_as_it_is(rows in rows()) {
            let folder = tempfile::tempdir().unwrap();
            let [fine, once, twice] = ["fine", "once", "twice"].map(|name| folder.path().join(name));
            write(&fine, &rows);
            let written = downsample(&fine, &once, SHORT, MOST_ROWS).unwrap();
            prop_assert_eq!(downsample(&once, &twice, SHORT, 3).unwrap(), written);
            assert_same(&panel(&once, SHORT), &panel(&twice, SHORT));
        }
    }

    #[test]
    fn spans_hold_about_so_many_rows_and_together_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fine");
        let rows: Vec<Row> = (0..1_000).map(|n| (n * 10, 0, [Some(1.0), None])).collect();
        write(&path, &rows);
        let spans = spans(&HistoryFile::open(&path).unwrap(), SHORT, 100).unwrap();
        // Ten rows in the first of 34 bins, thirty in each of the others.
        assert_eq!(spans.len(), 11);
        assert!(spans.windows(2).all(|pair| pair[0].until <= pair[1].from));
        let out = folder.path().join("coarse");
        assert_eq!(downsample(&path, &out, SHORT, 100).unwrap(), 34);
    }

    #[test]
    fn requests_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests");
        crate::RequestWriter::create(&path)
            .unwrap()
            .finish()
            .unwrap();
        let refused = downsample_usage(&path, &folder.path().join("out"), SHORT);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("entity_id"), "{refused}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
