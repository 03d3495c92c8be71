//! The history of days that are past, kept up by a server that is killed again and again.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foreshadow_history::{
    HistoryPaths, PanelLimits, PanelOptions, UsageWriter, load_panel, parquet_files,
};
use foreshadow_tests::Server;
use foreshadow_types::{EntityId, Timestamp};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_mins(1);
const DAY_MS: i64 = 86_400_000;
/// Files of each past day, as an earlier run would have left them, and samples in each.
const FILES: u64 = 40;
const SAMPLES: i64 = 50;
/// After so many kills the work is let go on to its end.
const MOST_KILLS: u32 = 40;

const CONFIG: &str = r#"
[history]
downsample = [{ after = "1d", interval = "5m" }, { after = "10d", interval = "1h" }]
"#;

/// Files that end with the numbers from `first` on.
fn past_day(usage: &Path, days_ago: i64, first: u64) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = since_epoch.expect("the clock is past 1970").as_millis() as i64;
    let begin = (now_ms / DAY_MS - days_ago) * DAY_MS;
    let day: String = Timestamp::from_millis(begin)
        .to_string()
        .chars()
        .take(10)
        .collect();
    let folder = usage.join(format!("date={day}"));
    std::fs::create_dir_all(&folder).expect("it can be made");
    for file in 0..FILES {
        let number = first + file;
        let path = folder.join(format!("{begin}-{number}.parquet"));
        let mut writer = UsageWriter::create(&path, &["cpu"]).expect("it can be created");
        for sample in 0..SAMPLES {
            // Denser towards the end of the day.
            let place = file as i64 * SAMPLES + sample;
            let all = FILES as i64 * SAMPLES;
            let at = begin + DAY_MS - DAY_MS * (all - place) / all * (all - place) / all / 2 - 1;
            for name in ["ada", "bob"] {
                let entity = EntityId::new(name).expect("a name");
                let value = ((place * 7) % 100) as f64;
                let row = [Some(value)];
                writer
                    .write(Timestamp::from_millis(at), &entity, &row)
                    .expect("it can be written");
            }
        }
        writer.finish().expect("it can be finished");
    }
}

/// The hourly means of all series.
fn hourly(usage: &Path) -> Vec<f32> {
    let options = PanelOptions {
        metrics: None,
        interval: Duration::from_hours(1),
        until: None,
        limits: PanelLimits::Refuse {
            max_values: 1 << 20,
        },
    };
    let paths = HistoryPaths::expand(&[usage]).expect("there is history");
    let panel = load_panel(&paths, &options).expect("it is whole");
    let series = 0..panel.ids().len();
    series.flat_map(|one| panel.series(one).to_vec()).collect()
}

/// The names of all files, those of the oldest day first.
fn names(usage: &Path) -> Vec<String> {
    let files = parquet_files(usage).expect("it can be read");
    let names = files.iter().filter_map(|path| path.file_name()?.to_str());
    names.map(str::to_owned).collect()
}

/// Whether there is one file of means for each of the three days.
fn is_kept_up(usage: &Path) -> bool {
    let coarse = |name: &String| name.contains("_300000-") || name.contains("_3600000-");
    let names = names(usage);
    names.len() == 3 && names.iter().all(coarse)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
    }
}

#[test]
fn kills_while_past_days_are_kept_up_lose_and_double_nothing() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let usage = data.join("history/usage");
    for (place, days_ago) in [20, 5, 3].into_iter().enumerate() {
        past_day(&usage, days_ago, 1 + place as u64 * FILES);
    }
    let before = hourly(&usage);
    // Each run is killed as soon as it has changed anything.
    let mut kills = 0;
    while kills < MOST_KILLS && !is_kept_up(&usage) {
        let found = names(&usage);
        let server = Server::start(CONFIG, &data);
        until("nothing is kept up", || names(&usage) != found);
        server.kill();
        kills += 1;
    }
    assert!(kills > 1, "it was not killed in the middle");
    let server = Server::start(CONFIG, &data);
    until("the days are not kept up", || is_kept_up(&usage));
    server.stop();
    assert!(
        names(&usage)[0].contains("_3600000-"),
        "{:?}",
        names(&usage)
    );
    let after = hourly(&usage);
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        let same = (before - after).abs() < 1e-3 || (before.is_nan() && after.is_nan());
        assert!(same, "{before} became {after}");
    }
}
