//! Schedules and what follows what, as records.

use std::time::Duration;

use foreshadow_planner::{Follow, Schedule};
use serde::{Deserialize, Serialize};

use super::{Unreadable, cron, millis, pool};

#[derive(Serialize, Deserialize)]
pub(super) struct ScheduleRecord {
    name: String,
    pool: String,
    starts: String,
    lasts_ms: u64,
    count: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FollowRecord {
    pool: String,
    after: String,
    delay_ms: u64,
    share: f64,
}

pub(super) fn schedule_record(schedule: &Schedule) -> ScheduleRecord {
    ScheduleRecord {
        name: schedule.name.clone(),
        pool: schedule.pool.as_str().to_owned(),
        starts: schedule.starts.to_string(),
        lasts_ms: millis(schedule.lasts),
        count: schedule.count,
    }
}

pub(super) fn read_schedule(record: ScheduleRecord) -> Result<Schedule, Unreadable> {
    Ok(Schedule {
        pool: pool(&record.pool)?,
        starts: cron(&record.starts)?,
        lasts: Duration::from_millis(record.lasts_ms),
        count: record.count,
        name: record.name,
    })
}

pub(super) fn follow_record(follow: &Follow) -> FollowRecord {
    FollowRecord {
        pool: follow.pool.as_str().to_owned(),
        after: follow.after.as_str().to_owned(),
        delay_ms: millis(follow.delay),
        share: follow.share,
    }
}

pub(super) fn read_follow(record: &FollowRecord) -> Result<Follow, Unreadable> {
    Ok(Follow {
        pool: pool(&record.pool)?,
        after: pool(&record.after)?,
        delay: Duration::from_millis(record.delay_ms),
        share: record.share,
    })
}
