//! Imports: whatever a file holds, it is imported or refused, and nothing panics. Runs a second of
//! random inputs by itself; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` ask for more.

#[path = "../../../tests/fuzz/edits.rs"]
mod edits;

use bolero::check;
use edits::{Edits, edited};
use foreshadow_history::{SwfOptions, import_csv, import_swf};
use foreshadow_types::{PoolName, Timestamp};

#[test]
fn csv_is_imported_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (
        folder.path().join("in.csv"),
        folder.path().join("out.parquet"),
    );
    let usage = "timestamp,entity_id,cpu\n2024-01-01T00:00:00Z,ada,1.5\n1704067260,bob,NaN\n";
    let requests = "timestamp,pool,user_id,vcpus,hold_ms\n1704067200000,a,ada,1,900\n,b,,,\n";
    check!()
        .with_type::<(bool, Edits)>()
        .for_each(|(kind, edits)| {
            let text = if *kind { usage } else { requests };
            std::fs::write(&file, edited(text.as_bytes(), edits)).unwrap();
            let _outcome = import_csv(std::slice::from_ref(&file), &out, None);
        });
}

#[test]
fn swf_is_imported_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (
        folder.path().join("in.swf"),
        folder.path().join("out.parquet"),
    );
    let log = "; UnixStartTime: 1000000000\n1 0 5 60 4 -1 1024 4 60 -1 1 3 2 1 0 -1 -1 -1\n";
    let options = SwfOptions {
        pool: PoolName::new("jobs").unwrap(),
        start: Some(Timestamp::from_millis(0)),
    };
    check!().with_type::<Edits>().for_each(|edits: &Edits| {
        std::fs::write(&file, edited(log.as_bytes(), edits)).unwrap();
        let _outcome = import_swf(std::slice::from_ref(&file), &out, &options);
    });
}
