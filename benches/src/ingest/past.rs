//! Days of history, as a server that ran through them has left them; and shadows of past times.

use std::path::Path;

use foreshadow_history::UsageWriter;
use foreshadow_types::{EntityId, Timestamp};

use super::{post::Poster, shadows::timed};
use crate::{
    clock::now_ms,
    process::OtherProcess,
    report::{Row, median},
};

const DAYS: u64 = 8;
const ENTITIES: i64 = 2_000;
const STEP_MS: i64 = 30_000;
const DAY_MS: i64 = 86_400_000;
/// Questions about times that are this far apart.
const CALLS: i64 = 7;
const APART_MS: i64 = 3_600_000;

/// Writes the days before today, one file each.
pub(super) fn write(data: &Path, days: u64) -> anyhow::Result<()> {
    let names = (0..ENTITIES).map(|number| EntityId::new(&format!("shop/worker-{number:04}")));
    let entities: Vec<EntityId> = names.collect::<Result<_, _>>()?;
    let today = now_ms() / DAY_MS;
    for (number, day) in (1..=days).zip(today - days as i64..) {
        let begin = Timestamp::from_millis(day * DAY_MS);
        let date: String = begin.to_string().chars().take(10).collect();
        let folder = data.join(format!("history/usage/date={date}"));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}-{number}-{number}.parquet", begin.as_millis()));
        let mut writer = UsageWriter::create(&file, &["cpu_usage_cores", "memory_usage_bytes"])?;
        for step in 0..DAY_MS / STEP_MS {
            let at = Timestamp::from_millis(begin.as_millis() + step * STEP_MS);
            for (place, entity) in entities.iter().enumerate() {
                let level = ((step * 31 + place as i64 * 17) % 1_009) as f64;
                writer.write(at, entity, &[Some(level / 500.0), Some(level * 1e6)])?;
            }
        }
        writer.finish()?;
    }
    Ok(())
}

/// Shadows of past times, each made of the week before it, beside the present one.
pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    let server = OtherProcess::start(&["ingest-server", "1", &DAYS.to_string()])?;
    let poster = Poster::new(server.address);
    let (mut then, mut now) = (Vec::new(), Vec::new());
    for call in 1..=CALLS {
        let at = Timestamp::from_millis(now_ms() / DAY_MS * DAY_MS - call * APART_MS);
        let name = format!("worker-{:04}", call * 271 % ENTITIES);
        let path = format!("/user/shop%2F{name}/resource_shadow?at={at}");
        then.push(timed(&poster, &path, &name)?);
        now.push(timed(&poster, "/user/user-0/resource_shadow", "user-0")?);
    }
    eprintln!(
        "a shadow of a past time, of {} million rows: {:.2} s; {:.0} MB of memory",
        7 * ENTITIES * (DAY_MS / STEP_MS) / 1_000_000,
        median(&then),
        server.memory_mb()?
    );
    Ok(vec![Row {
        name: "shadow_past",
        value: 1.0 / median(&then),
        unit: "calls/s",
        peer: "shadow_now",
        peer_value: 1.0 / median(&now),
    }])
}
