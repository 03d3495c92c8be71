//! History files of all kinds become panels.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float32Array, Int16Array, Int64Array, LargeStringArray,
        NullArray, StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt32Array,
    },
    datatypes::Int32Type,
};
use common::{Folder, START_MS, floats, integers, load, options, texts, times};
use foreshadow_forecast::Panel;
use foreshadow_history::{HistoryPaths, PanelLimits, load_panel};
use foreshadow_types::Timestamp;

fn names(panel: &Panel) -> Vec<String> {
    let ids = panel.ids().iter();
    ids.map(|id| format!("{}/{}", id.entity, id.metric))
        .collect()
}

/// Equal, where NaN equals NaN.
fn same(left: &[f32], right: &[f32]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

const NAN: f32 = f32::NAN;

#[test]
fn samples_are_averaged_into_bins_and_empty_bins_are_missing() {
    let folder = Folder::new();
    let path = folder.write(
        "u.parquet",
        vec![
            ("timestamp", times(&[10, 20, 299, 900, 910, 30])),
            ("entity_id", texts(&["b", "b", "a", "b", "a", "b"])),
            ("cpu_pct", floats(&[1.0, 2.0, 7.0, 5.0, f64::NAN, 6.0])),
            ("memory_bytes", floats(&[1.0; 6])),
        ],
    );
    let panel = load(&path).unwrap();
    assert_eq!(panel.start(), Timestamp::from_millis(START_MS));
    assert_eq!(panel.bins(), 4);
    assert_eq!(
        names(&panel),
        ["a/cpu_pct", "a/memory_bytes", "b/cpu_pct", "b/memory_bytes"]
    );
    assert!(same(panel.series(0), &[7.0, NAN, NAN, NAN]));
    assert!(
        same(panel.series(2), &[3.0, NAN, NAN, 5.0]),
        "a bin is entered again"
    );
}

#[test]
fn requests_are_counted_for_each_pool_and_each_user() {
    let folder = Folder::new();
    let path = folder.write(
        "r.parquet",
        vec![
            ("timestamp", times(&[0, 1, 700])),
            ("user_id", texts(&["ada", "", "ada"])),
            ("pool", texts(&["web", "web", "batch"])),
        ],
    );
    let panel = load(&path).unwrap();
    assert_eq!(
        names(&panel),
        ["batch/requests", "web/requests", "ada/requests"]
    );
    assert_eq!(panel.series(0), [0.0, 0.0, 1.0]);
    assert_eq!(panel.series(1), [2.0, 0.0, 0.0]);
    assert_eq!(panel.series(2), [1.0, 0.0, 1.0]);
}

#[test]
fn every_width_unit_and_encoding_gives_the_same_panel() {
    let folder = Folder::new();
    let seconds = START_MS / 1_000;
    let at = [seconds, seconds + 300];
    let scaled = |factor: i64| at.map(|second| second * factor);
    let stamps: Vec<ArrayRef> = vec![
        Arc::new(TimestampSecondArray::from(at.to_vec())),
        Arc::new(TimestampMicrosecondArray::from(scaled(1_000_000).to_vec())),
        Arc::new(TimestampNanosecondArray::from(
            scaled(1_000_000_000).to_vec(),
        )),
        Arc::new(Int64Array::from(at.to_vec())),
        Arc::new(UInt32Array::from(at.map(|second| second as u32).to_vec())),
        Arc::new(Int64Array::from(scaled(1_000).to_vec())),
        floats(&at.map(|second| second as f64 + 0.5)),
        texts(&["2026-01-01T00:00:00Z", "2026-01-01T01:05:00+01:00"]),
    ];
    let labels: Vec<ArrayRef> = vec![
        texts(&["vm", "vm"]),
        Arc::new(LargeStringArray::from(vec!["vm", "vm"])),
        Arc::new(StringViewArray::from(vec!["vm", "vm"])),
        Arc::new(
            vec!["vm", "vm"]
                .into_iter()
                .collect::<DictionaryArray<Int32Type>>(),
        ),
    ];
    let values: Vec<ArrayRef> = vec![
        floats(&[3.0, 4.0]),
        Arc::new(Float32Array::from(vec![3.0, 4.0])),
        Arc::new(Int16Array::from(vec![3, 4])),
        integers(&[3, 4]),
        Arc::new(UInt32Array::from(vec![3, 4])),
    ];
    let check = |name: &str, stamp: &ArrayRef, label: &ArrayRef, value: &ArrayRef| {
        let columns = vec![
            ("timestamp", stamp.clone()),
            ("entity_id", label.clone()),
            ("load", value.clone()),
        ];
        let panel = load(&folder.write(name, columns)).unwrap();
        assert_eq!(
            panel.start().as_millis(),
            START_MS,
            "{name}: {:?}",
            stamp.data_type()
        );
        assert_eq!(panel.series(0), [3.0, 4.0], "{name}");
    };
    for (i, stamp) in stamps.iter().enumerate() {
        check(&format!("time{i}.parquet"), stamp, &labels[0], &values[0]);
    }
    for (i, label) in labels.iter().enumerate() {
        check(&format!("text{i}.parquet"), &stamps[0], label, &values[0]);
    }
    for (i, value) in values.iter().enumerate() {
        check(&format!("value{i}.parquet"), &stamps[0], &labels[0], value);
    }
}

#[test]
fn columns_without_a_type_or_a_value_are_read() {
    let folder = Folder::new();
    let nothing: ArrayRef = Arc::new(NullArray::new(2));
    let usage = folder.write(
        "u.parquet",
        vec![
            ("timestamp", times(&[0, 300])),
            ("entity_id", texts(&["vm", "vm"])),
            ("load", floats(&[f64::NAN, f64::NAN])),
            ("label", texts(&["x", "y"])),
            ("nothing", nothing.clone()),
        ],
    );
    let panel = load(&usage).unwrap();
    assert_eq!(names(&panel), ["vm/load"]);
    assert!(panel.series(0).iter().all(|value| value.is_nan()));
    let mut asked = options();
    asked.metrics = Some(vec!["nothing".to_owned()]);
    let panel = load_panel(&HistoryPaths::expand(&[usage]).unwrap(), &asked).unwrap();
    assert!(same(panel.series(0), &[NAN, NAN]));

    let requests = folder.write(
        "r.parquet",
        vec![
            ("timestamp", times(&[0, 300])),
            ("user_id", nothing.clone()),
            ("pool", texts(&["web", "web"])),
            ("hold_ms", nothing),
        ],
    );
    assert_eq!(names(&load(&requests).unwrap()), ["web/requests"]);
}

#[test]
fn several_files_share_one_grid() {
    let folder = Folder::new();
    for (name, second) in [("a.parquet", 0), ("b.parquet", 600)] {
        folder.write(
            name,
            vec![
                ("timestamp", times(&[second])),
                ("entity_id", texts(&["vm"])),
                ("load", floats(&[second as f64])),
            ],
        );
    }
    let panel = load(folder.path()).unwrap();
    assert!(same(panel.series(0), &[0.0, NAN, 600.0]));
}

#[test]
fn nothing_after_until_is_used() {
    let folder = Folder::new();
    let path = folder.write(
        "u.parquet",
        vec![
            ("timestamp", times(&[0, 300, 600, 601])),
            ("entity_id", texts(&["vm", "vm", "vm", "late"])),
            ("load", floats(&[1.0, 2.0, 3.0, 4.0])),
        ],
    );
    let paths = HistoryPaths::expand(&[path]).unwrap();
    let mut cut = options();
    cut.until = Some(Timestamp::from_millis(START_MS + 899_000));
    let panel = load_panel(&paths, &cut).unwrap();
    assert_eq!(panel.ids().len(), 1);
    assert_eq!(
        panel.series(0),
        [1.0, 2.0],
        "the bin that `until` cuts is left out"
    );
    cut.until = Some(Timestamp::from_millis(START_MS));
    let error = load_panel(&paths, &cut).unwrap_err().to_string();
    assert!(error.contains("no rows before 2026-01-01"), "{error}");
}

#[test]
fn a_panel_that_is_too_large_is_refused_or_sampled() {
    let folder = Folder::new();
    let path = folder.write(
        "u.parquet",
        vec![
            ("timestamp", times(&[0, 3_000, 3_000])),
            ("entity_id", texts(&["a", "b", "c"])),
            ("load", floats(&[1.0, 2.0, 3.0])),
        ],
    );
    let paths = HistoryPaths::expand(&[path]).unwrap();
    let mut limited = options();
    limited.limits = PanelLimits::Refuse { max_values: 32 };
    let error = load_panel(&paths, &limited).unwrap_err().to_string();
    assert!(error.contains("3 series of 11 bins"), "{error}");
    limited.limits = PanelLimits::Sample {
        max_values: 12,
        seed: 1,
    };
    let panel = load_panel(&paths, &limited).unwrap();
    assert_eq!(
        (panel.ids().len(), panel.bins()),
        (3, 4),
        "the most recent bins are kept"
    );
    assert_eq!(panel.series(1)[3], 2.0);
}
