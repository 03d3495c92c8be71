//! Requests stream in the order of their time, and what is written reads back.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::time::Duration;

use common::{Folder, START_MS, integers, texts, times};
use foreshadow_history::{
    DumpColumn, DumpKind, DumpValue, DumpWriter, HistoryError, HistoryKind, HistoryPaths,
    RequestReader, RequestRecord, RequestWriter, UsageWriter,
};
use foreshadow_types::{
    ApplicationId, Bytes, EntityId, MergeKey, PoolName, Timestamp, UserId, Vcpus,
};

fn read(path: &std::path::Path) -> Result<Vec<RequestRecord>, HistoryError> {
    RequestReader::open(&HistoryPaths::expand(&[path])?)?.collect()
}

fn request(second: i64, pool: &str) -> RequestRecord {
    RequestRecord {
        at: Timestamp::from_millis(START_MS + second * 1_000),
        user: Some(UserId::new("ada").unwrap()),
        application: Some(ApplicationId::new("notebook").unwrap()),
        pool: PoolName::new(pool).unwrap(),
        hold: Some(Duration::from_millis(1_500)),
        vcpus: Some(Vcpus::new(0.5).unwrap()),
        memory: Some(Bytes(1 << 30)),
        merge_key: Some(MergeKey::new("report 7").unwrap()),
    }
}

#[test]
fn written_requests_read_back() {
    let folder = Folder::new();
    let path = folder.path().join("r.parquet");
    let bare = RequestRecord {
        user: None,
        application: None,
        hold: None,
        vcpus: None,
        memory: None,
        merge_key: None,
        ..request(1, "batch")
    };
    let written = vec![request(0, "web"), bare];
    let mut writer = RequestWriter::create(&path).unwrap();
    for record in &written {
        writer.write(record).unwrap();
    }
    assert!(!path.exists(), "the file appears when it is whole");
    writer.finish().unwrap();
    assert_eq!(read(&path).unwrap(), written);
    assert_eq!(HistoryKind::of_file(&path).unwrap(), HistoryKind::Requests);
}

#[test]
fn files_are_merged_by_time() {
    let folder = Folder::new();
    for (name, seconds) in [("a.parquet", [0, 20, 40]), ("b.parquet", [10, 20, 30])] {
        folder.write(
            name,
            vec![
                ("timestamp", times(&seconds)),
                ("pool", texts(&[name, name, name])),
            ],
        );
    }
    let merged = read(folder.path()).unwrap();
    let seconds: Vec<_> = merged
        .iter()
        .map(|r| (r.at.as_millis() - START_MS) / 1_000)
        .collect();
    assert_eq!(seconds, [0, 10, 20, 20, 30, 40]);
    assert_eq!(
        merged[2].pool.as_str(),
        "a.parquet",
        "equal times keep the order of the files"
    );
}

#[test]
fn rows_that_are_not_sorted_are_refused_by_their_number() {
    let folder = Folder::new();
    let path = folder.write(
        "r.parquet",
        vec![
            ("timestamp", times(&[0, 20, 10])),
            ("pool", texts(&["web", "web", "web"])),
        ],
    );
    let error = read(&path).unwrap_err().to_string();
    assert!(error.contains("row 3") && error.contains("sort"), "{error}");
}

#[test]
fn a_negative_hold_time_is_refused_by_its_row() {
    let folder = Folder::new();
    let path = folder.write(
        "r.parquet",
        vec![
            ("timestamp", times(&[0, 1])),
            ("pool", texts(&["web", "web"])),
            ("hold_ms", integers(&[5, -5])),
        ],
    );
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains("`hold_ms`, row 2") && error.contains("-5"),
        "{error}"
    );
}

#[test]
fn an_unfinished_file_leaves_nothing_behind() {
    let folder = Folder::new();
    let mut writer = UsageWriter::create(&folder.path().join("u.parquet"), &["load"]).unwrap();
    let vm = EntityId::new("vm").unwrap();
    let at = Timestamp::from_millis(START_MS);
    assert!(matches!(
        writer.write(at, &vm, &[]),
        Err(HistoryError::RowShape { .. })
    ));
    writer.write(at, &vm, &[None]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn written_usage_and_dumps_read_back() {
    let folder = Folder::new();
    let path = folder.path().join("u.parquet");
    let mut writer = UsageWriter::create(&path, &["load"]).unwrap();
    let vm = EntityId::new("vm").unwrap();
    let at = |second: i64| Timestamp::from_millis(START_MS + second * 1_000);
    writer.write(at(0), &vm, &[Some(1.0)]).unwrap();
    writer.write(at(300), &vm, &[Some(2.0)]).unwrap();
    writer.finish().unwrap();
    assert_eq!(common::load(&path).unwrap().series(0), [1.0, 2.0]);

    let dump = folder.path().join("d.parquet");
    let columns = [
        DumpColumn::new("timestamp", DumpKind::Time),
        DumpColumn::new("entity_id", DumpKind::Text),
        DumpColumn::new("steps", DumpKind::Integer),
        DumpColumn::new("share", DumpKind::Float),
    ];
    let mut writer = DumpWriter::create(&dump, &columns).unwrap();
    let row = [
        DumpValue::Time(at(0)),
        DumpValue::Text("vm"),
        DumpValue::Integer(7),
        DumpValue::Null,
    ];
    writer.row(&row).unwrap();
    writer.finish().unwrap();
    let panel = common::load(&dump).unwrap();
    assert_eq!(panel.series(0), [7.0]);
    assert!(panel.series(1)[0].is_nan());
}
