//! Bad files give one clear error, never a panic.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::{fs, sync::Arc};

use arrow::array::{ArrayRef, NullArray, TimestampSecondArray};
use common::{Folder, floats, load, options, texts, times};
use foreshadow_history::{HistoryError, HistoryPaths, RequestReader, load_panel};
use proptest::prelude::*;

fn usage(folder: &Folder) -> std::path::PathBuf {
    folder.write(
        "u.parquet",
        vec![
            ("timestamp", times(&[0, 300, 600])),
            ("entity_id", texts(&["vm", "vm", "web"])),
            ("load", floats(&[1.0, -2.0, 3.0])),
        ],
    )
}

fn error_of(columns: Vec<(&str, ArrayRef)>) -> String {
    let folder = Folder::new();
    let path = folder.write("h.parquet", columns);
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("h.parquet"), "the file is named: {error}");
    error
}

#[test]
fn a_file_that_is_not_parquet_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("broken.parquet");
    for bytes in [
        &b""[..],
        b"PAR1",
        b"no parquet at all, however long it may be",
    ] {
        fs::write(&path, bytes).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(
            error.contains("broken.parquet: not a readable Parquet file"),
            "{error}"
        );
    }
}

#[test]
fn a_missing_column_is_named_beside_those_that_are_there() {
    let error = error_of(vec![("time", times(&[0])), ("load", floats(&[1.0]))]);
    assert!(
        error.contains("`timestamp` is missing (found: time, load)"),
        "{error}"
    );
    let error = error_of(vec![("timestamp", times(&[0])), ("load", floats(&[1.0]))]);
    assert!(error.contains("`entity_id` is missing"), "{error}");
    let error = error_of(vec![
        ("timestamp", times(&[0])),
        ("user_id", texts(&["ada"])),
    ]);
    assert!(error.contains("`pool` is missing"), "{error}");
}

#[test]
fn a_metric_that_is_nowhere_is_named_beside_those_that_are_there() {
    let folder = Folder::new();
    let path = usage(&folder);
    let mut asked = options();
    asked.metrics = Some(vec!["load".to_owned(), "lod".to_owned()]);
    let error = load_panel(&HistoryPaths::expand(&[path]).unwrap(), &asked).unwrap_err();
    assert!(error.to_string().contains("`lod`"), "{error}");
    assert!(error.to_string().contains("they have: load"), "{error}");
}

#[test]
fn a_row_without_time_or_name_is_told_by_its_number() {
    let absent: ArrayRef = Arc::new(NullArray::new(1));
    let error = error_of(vec![
        ("timestamp", absent.clone()),
        ("entity_id", texts(&["vm"])),
        ("load", floats(&[1.0])),
    ]);
    assert!(error.contains("`timestamp`"), "{error}");
    let error = error_of(vec![
        ("timestamp", times(&[0, 1])),
        ("entity_id", texts(&["vm", ""])),
        ("load", floats(&[1.0, 1.0])),
    ]);
    assert!(error.contains("`entity_id`, row 2"), "{error}");
    let error = error_of(vec![("timestamp", times(&[0])), ("pool", absent)]);
    assert!(error.contains("`pool`, row 1"), "{error}");
}

#[test]
fn a_name_that_is_no_name_is_told_by_its_row() {
    let error = error_of(vec![
        ("timestamp", times(&[0])),
        ("entity_id", texts(&["a\nb"])),
        ("load", floats(&[1.0])),
    ]);
    assert!(
        error.contains("row 1") && error.contains("control character"),
        "{error}"
    );
}

#[test]
fn a_file_without_rows_says_so() {
    let error = error_of(vec![
        ("timestamp", times(&[])),
        ("entity_id", texts(&[])),
        ("load", floats(&[])),
    ]);
    assert!(error.contains("no rows"), "{error}");
}

#[test]
fn negative_and_infinite_samples_do_not_break_a_panel() {
    let folder = Folder::new();
    let path = folder.write(
        "u.parquet",
        vec![
            ("timestamp", times(&[0, 300, 300])),
            ("entity_id", texts(&["vm", "vm", "vm"])),
            ("load", floats(&[-2.0, f64::INFINITY, 4.0])),
        ],
    );
    assert_eq!(load(&path).unwrap().series(0), [-2.0, 4.0]);
}

#[test]
fn times_of_all_ages_are_refused_as_too_large_and_not_allocated() {
    let far = vec![
        (
            "timestamp",
            Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])) as ArrayRef,
        ),
        ("entity_id", texts(&["vm", "vm"])),
        ("load", floats(&[1.0, 2.0])),
    ];
    let folder = Folder::new();
    let result = load(&folder.write("h.parquet", far));
    assert!(matches!(result, Err(HistoryError::TooLarge { .. })));
}

#[test]
fn usage_given_where_requests_are_read_says_what_is_missing() {
    let folder = Folder::new();
    let paths = HistoryPaths::expand(&[usage(&folder)]).unwrap();
    let error = RequestReader::open(&paths).unwrap_err().to_string();
    assert!(error.contains("`pool` is missing"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_or_other_values_but_never_a_panic() {
    let folder = Folder::new();
    let path = usage(&folder);
    let whole = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.parquet");
    proptest!(ProptestConfig::with_cases(500), |(
        at in 0..whole.len(),
        to in any::<u8>(),
        cut in 0..whole.len(),
        truncate in any::<bool>(),
    )| {
        let mut bytes = whole.clone();
        if truncate {
            bytes.truncate(cut);
        } else {
            bytes[at] = to;
        }
        fs::write(&damaged, &bytes).unwrap();
        if let Err(error) = load(&damaged) {
            prop_assert!(error.to_string().contains("damaged.parquet") || matches!(error, HistoryError::TooLarge { .. }), "{error}");
        }
    });
}
