//! CSV and job logs become history.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::{fs, path::PathBuf, time::Duration};

use common::Folder;
use foreshadow_history::{
    HistoryError, HistoryPaths, ImportSummary, RequestReader, RequestRecord, SwfOptions,
    import_csv, import_swf,
};
use foreshadow_types::{Bytes, MergeKey, PoolName};

fn csv(folder: &Folder, text: &str) -> Result<(PathBuf, ImportSummary), HistoryError> {
    let path = folder.path().join("in.csv");
    fs::write(&path, text).unwrap();
    let out = folder.path().join("out.parquet");
    let summary = import_csv(&[path], &out, None)?;
    Ok((out, summary))
}

fn swf(folder: &Folder, text: &str) -> Result<Vec<RequestRecord>, HistoryError> {
    let path = folder.path().join("in.swf");
    fs::write(&path, text).unwrap();
    let out = folder.path().join("out.parquet");
    let options = SwfOptions {
        pool: PoolName::new("node").unwrap(),
        start: None,
    };
    import_swf(&[path], &out, &options)?;
    RequestReader::open(&HistoryPaths::expand(&[out])?)?.collect()
}

#[test]
fn usage_is_imported_from_csv() {
    let folder = Folder::new();
    let text = "\u{feff}timestamp,entity_id,load,memory_bytes\n\
                2026-01-01T00:00:00Z,vm,1.5,\n\
                1767225900,vm,2.5,4096\n";
    let (out, summary) = csv(&folder, text).unwrap();
    assert_eq!(summary.rows, 2);
    assert_eq!(summary.last.to_string(), "2026-01-01T00:05:00Z");
    let panel = common::load(&out).unwrap();
    assert_eq!(panel.series(0), [1.5, 2.5]);
    assert!(panel.series(1)[0].is_nan());
}

#[test]
fn requests_are_imported_from_csv_and_sorted() {
    let folder = Folder::new();
    let text = "timestamp,pool,user_id,hold_ms,merge_key\n\
                2026-01-01T00:00:09Z,web,ada,1000,report 7\n\
                2026-01-01T00:00:01Z,batch,,,\n";
    let (out, _) = csv(&folder, text).unwrap();
    let reader = RequestReader::open(&HistoryPaths::expand(&[out]).unwrap()).unwrap();
    let requests: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(requests[0].pool.as_str(), "batch");
    assert_eq!(requests[0].user, None);
    assert_eq!(requests[1].hold, Some(Duration::from_secs(1)));
    assert_eq!(requests[0].merge_key, None);
    assert_eq!(requests[1].merge_key, MergeKey::new("report 7").ok());
}

#[test]
fn a_bad_cell_of_csv_is_named() {
    for (text, expected) in [
        (
            "timestamp,entity_id,load\nnoon,vm,1\n",
            "`timestamp`, row 1: `noon` is not a time",
        ),
        (
            "timestamp,entity_id,load\n0,vm,1\n0,vm,x\n",
            "`load`, row 2: `x` is not a number",
        ),
        (
            "timestamp,pool,hold_ms\n0,web,-1\n",
            "`hold_ms`, row 1: -1 is not in the range",
        ),
        ("timestamp,load\n0,1\n", "`entity_id` is missing"),
        ("timestamp,entity_id,load\n0,vm\n", "in.csv"),
        ("timestamp,entity_id,load\n", "no rows"),
        ("", "`timestamp` is missing"),
    ] {
        let folder = Folder::new();
        let error = csv(&folder, text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!folder.path().join("out.parquet").exists());
    }
}

const JOBS: &str = "; Version: 2.2\n\
    ; UnixStartTime: 1767225600\n\
    \n\
    1 60 5 120 4 -1 -1 4 600 2048 1 7 2 -1 1 -1 -1 -1\n\
    2 30 0 -1 -1 -1 -1 2 -1 -1 5 8 2 9 1 -1 -1 -1\n";

#[test]
fn jobs_become_requests() {
    let folder = Folder::new();
    let requests = swf(&folder, JOBS).unwrap();
    let first = &requests[0];
    assert_eq!(
        first.at.to_string(),
        "2026-01-01T00:00:30Z",
        "sorted by submit time"
    );
    assert_eq!(first.application.as_ref().unwrap().as_str(), "exe-9");
    assert_eq!((first.hold, first.memory), (None, None));
    assert_eq!(first.vcpus.unwrap().as_f64(), 2.0);
    let second = &requests[1];
    assert_eq!(second.user.as_ref().unwrap().as_str(), "user-7");
    assert_eq!(second.application.as_ref().unwrap().as_str(), "group-2");
    assert_eq!(second.hold, Some(Duration::from_mins(2)));
    assert_eq!(second.memory, Some(Bytes(2048 * 1024 * 4)));
}

#[test]
fn a_bad_line_of_a_job_log_is_named() {
    let without_start = JOBS.replace("UnixStartTime", "StartTime");
    let short = format!("{JOBS}3 90 5\n");
    let text = format!("{JOBS}x{}\n", " y".repeat(17));
    for (log, expected) in [
        (
            without_start.as_str(),
            "row 4: the header has no UnixStartTime",
        ),
        (&short, "row 6: 3 fields"),
        (&text, "`submit time`, row 6: `y` is not a number"),
    ] {
        let error = swf(&Folder::new(), log).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
