//! The production planner in the backtest: it knows the past alone.

use foreshadow_planner::{PoolPlanner, PoolSettings};

use super::{setting, trace};
use crate::backtest::{Setting, TickRecord, Trace, simulate};

/// Three days with a busy noon, requests in small groups.
fn days() -> Vec<i64> {
    let mut times = Vec::new();
    let mut state = 7_u64;
    for minute in 0..3 * 1440_i64 {
        let noon = 1.0 - ((minute % 1440 - 720).abs() as f64 / 720.0);
        for slot in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if ((state >> 40) as f64 / (1_u64 << 24) as f64) < noon * 0.4 {
                times.push(minute * 60 + slot * 15);
            }
        }
    }
    times
}

fn targets(trace: &Trace, setting: &Setting) -> Vec<u32> {
    let settings = PoolSettings::for_hit_rate(0.95, setting.startup().typical(), setting.tick());
    let mut planner = PoolPlanner::new(settings).unwrap();
    let mut targets = Vec::new();
    simulate(
        &trace.pools()[0],
        setting,
        &mut planner,
        &mut |record: &TickRecord| targets.push(record.target),
    );
    targets
}

#[test]
fn what_comes_later_and_where_scoring_starts_change_no_earlier_target() {
    let times = days();
    let kept = times.len() * 2 / 3;
    let (whole, cut) = (trace(&times), trace(&times[..kept]));
    let all = targets(&whole, &setting(&whole, times[times.len() / 2], 60, 120));
    let seen = targets(&cut, &setting(&cut, times[0], 60, 120));
    assert!(seen.iter().max() > Some(&0));
    assert_eq!(&all[..seen.len()], &seen[..]);
}
