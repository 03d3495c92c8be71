//! One scenario for each rule, worked out by hand. Times in seconds; ticks start at the first
//! request.

use foreshadow_planner::Outcome::{Hit, Join, Miss};

use super::{Script, setting, trace};
use crate::backtest::{NoProbe, TickRecord, simulate};

#[test]
fn a_tick_precedes_the_requests_of_its_moment() {
    // At 100 the target becomes 1 and then the request comes, so it joins instead of missing.
    let trace = trace(&[0, 100]);
    let mut script = Script::new(&[0, 1]);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 100, 30),
        &mut script,
        &mut NoProbe,
    );
    assert_eq!(script.outcomes, [Miss, Join]);
    assert_eq!(tally.waits_ms(), [30_000, 30_000]);
}

#[test]
fn what_becomes_ready_at_a_moment_serves_the_request_of_that_moment() {
    let trace = trace(&[0, 30, 59]);
    let mut script = Script::new(&[1]);
    simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 1_000, 30),
        &mut script,
        &mut NoProbe,
    );
    // The request at 0 joins the first start; its replacement is ready at 30 and taken then; the
    // next replacement would be ready at 60, a second too late.
    assert_eq!(script.outcomes, [Join, Hit, Join]);
}

#[test]
fn a_claim_is_refilled_at_once() {
    let trace = trace(&[0, 50, 51, 85]);
    let mut script = Script::new(&[1]);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 1_000, 30),
        &mut script,
        &mut NoProbe,
    );
    // 50 takes what was ready at 30; 51 joins the replacement started at 50, ready at 80; the one
    // started at 51 is ready at 81 and taken at 85.
    assert_eq!(script.outcomes, [Join, Hit, Join, Hit]);
    assert_eq!(tally.waits_ms(), [30_000, 29_000]);
    // Idle: 30 to 50, 81 to 85; started at 85 and stopped at the end, 85.
    assert_eq!(tally.idle_ms(), 24_000);
    assert_eq!(tally.starts(), 5);
}

#[test]
fn a_request_joins_the_oldest_start_that_nobody_was_promised() {
    let trace = trace(&[0, 10, 11, 12]);
    let mut script = Script::new(&[2]);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 1_000, 30),
        &mut script,
        &mut NoProbe,
    );
    // Two start at 0. The requests at 0 and 10 take them; those at 11 and 12 take the
    // replacements started at 0 and 10.
    assert_eq!(script.outcomes, [Join; 4]);
    assert_eq!(tally.waits_ms(), [30_000, 20_000, 19_000, 28_000]);
}

#[test]
fn a_request_that_finds_nothing_starts_its_own_instance() {
    let trace = trace(&[0, 10]);
    let mut script = Script::new(&[0]);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 1_000, 30),
        &mut script,
        &mut NoProbe,
    );
    assert_eq!(script.outcomes, [Miss, Miss]);
    assert_eq!((tally.misses(), tally.starts(), tally.idle_ms()), (2, 2, 0));
}

#[test]
fn shrinking_stops_the_newest_start_first_and_then_the_oldest_ready() {
    // Target 1 at 0, 3 at 100, 1 at 110 (two starts of 100 stopped after 10 s each), 0 at 120
    // (the ready one of 0 stopped, idle since its start).
    let trace = trace(&[0, 125]);
    let mut targets = vec![1; 10];
    targets.extend([3, 1, 0]);
    let mut script = Script::new(&targets);
    let setting = setting(&trace, 0, 10, 30);
    let mut records: Vec<TickRecord> = Vec::new();
    let tally = simulate(
        &trace.pools()[0],
        &setting,
        &mut script,
        &mut |record: &TickRecord| records.push(*record),
    );
    assert_eq!(script.outcomes, [Join, Miss]);
    let held = |at: usize| (records[at].ready, records[at].starting);
    assert_eq!(held(10), (1, 2));
    assert_eq!(held(11), (1, 0));
    assert_eq!(held(12), (0, 0));
    // 2 × 10 s of cancelled starts, and 120 s of the one that was started at 0.
    assert_eq!(tally.idle_ms(), 140_000);
}

#[test]
fn of_ready_instances_the_oldest_is_stopped() {
    // Ready at 10 and at 20; at 100 one is stopped: the older, idle since 0.
    let trace = trace(&[0, 200]);
    let targets = [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1];
    let mut script = Script::new(&targets);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 150, 10, 10),
        &mut script,
        &mut NoProbe,
    );
    // Scored from 150: the younger is ready since 20 and taken at 200.
    assert_eq!(script.outcomes, [Join, Hit]);
    assert_eq!(tally.idle_ms(), 50_000);
}

#[test]
fn idle_time_is_clipped_to_the_scored_window_and_requests_before_it_do_not_count() {
    let trace = trace(&[0, 100, 300]);
    let mut script = Script::new(&[1]);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 200, 1_000, 30),
        &mut script,
        &mut NoProbe,
    );
    assert_eq!((tally.requests(), tally.hits()), (1, 1));
    // Ready at 130, taken at 300: 100 s are in the window. Its replacement starts at the end.
    assert_eq!(tally.idle_ms(), 100_000);
    assert_eq!(tally.starts(), 1);
}

#[test]
fn an_instance_that_is_never_claimed_idles_from_its_start_request() {
    let trace = trace(&[0, 100]);
    let mut script = Script::new(&[3]);
    let tally = simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 1_000, 30),
        &mut script,
        &mut NoProbe,
    );
    // Three start at 0; one is joined at 0, one taken at 100 (70 s). The third idles from 0, the
    // replacement of the joined one from 0, the last for nothing.
    assert_eq!(tally.idle_ms(), 70_000 + 100_000 + 100_000);
}

#[test]
fn the_policy_sees_what_the_pool_holds_and_who_waits() {
    let trace = trace(&[0, 5, 100]);
    let mut script = Script::new(&[1, 3]);
    simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 10, 30),
        &mut script,
        &mut NoProbe,
    );
    let seen = script.inventories[1];
    assert_eq!((seen.ready, seen.starting, seen.queued), (0, 1, 2));
    let later = script.inventories[4];
    assert_eq!((later.ready, later.starting, later.queued), (3, 0, 0));
}

#[test]
fn a_record_of_a_tick_covers_the_time_until_the_next() {
    let trace = trace(&[0, 1, 10, 19]);
    let mut records: Vec<TickRecord> = Vec::new();
    simulate(
        &trace.pools()[0],
        &setting(&trace, 0, 10, 5),
        &mut Script::new(&[1]),
        &mut |record: &TickRecord| records.push(*record),
    );
    let counts: Vec<_> = records
        .iter()
        .map(|one| (one.demand, one.hits, one.joins, one.misses))
        .collect();
    assert_eq!(counts, [(2, 0, 2, 0), (2, 2, 0, 0)]);
}
