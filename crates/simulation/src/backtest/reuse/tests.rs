use std::num::NonZeroU32;

use super::*;
use crate::backtest::{StartupTime, Trace, tests::log};

/// Requests at (minute, minutes held), all of one pool.
fn replay(requests: &[(u64, u64)]) -> Tally {
    replay_with(requests, None, 0.0)
}

fn replay_with(requests: &[(u64, u64)], most: Option<u32>, failures: f64) -> Tally {
    let trace = trace(requests);
    let startup = StartupTime::fixed(Duration::from_secs(30)).failing(failures);
    let tick = Duration::from_mins(1);
    let setting = Setting::new(&trace, trace.start(), tick, startup)
        .unwrap()
        .with_max_instances(most.and_then(NonZeroU32::new))
        .unwrap();
    let tally = Tally::keeping_waits(&setting);
    replay_reused(&trace.pools()[0], &setting, 0.99, tally)
}

fn trace(requests: &[(u64, u64)]) -> Trace {
    const MINUTE_MS: u64 = 60_000;
    let requests = requests.iter();
    log(
        1,
        requests.map(|&(at, held)| ((at * MINUTE_MS) as i64, Some(held * MINUTE_MS), 0)),
    )
}

#[test]
fn an_instance_is_used_again_and_idles_between_its_uses() {
    // Started at 0, ready at 0:30, held to 10:30; used again at 20.
    let tally = replay(&[(0, 10), (20, 10)]);
    assert_eq!((tally.misses(), tally.hits(), tally.starts()), (1, 1, 1));
    assert_eq!(tally.idle_ms(), 570_000);
}

#[test]
fn an_instance_in_use_serves_nobody_else() {
    let tally = replay(&[(0, 10), (5, 10)]);
    assert_eq!((tally.misses(), tally.starts()), (2, 2));
}

#[test]
fn an_instance_that_is_not_wanted_for_four_hours_is_gone() {
    let tally = replay(&[(0, 10), (300, 1)]);
    assert_eq!((tally.misses(), tally.hits()), (2, 0));
    assert_eq!(tally.idle_ms(), 4 * 3_600_000);
}

#[test]
fn a_steady_rhythm_is_met_by_starting_again_in_time() {
    let requests: Vec<(u64, u64)> = (0..100).map(|round| (round * 60, 1)).collect();
    let tally = replay(&requests);
    assert_eq!(tally.misses(), 1);
    // Kept for the first rounds, then ready from some minutes before each request only.
    assert!(tally.idle_ms() < 99 * 15 * 60_000, "{}", tally.idle_ms());
}

#[test]
fn a_request_that_comes_early_is_not_followed_by_the_start_that_was_planned_for_it() {
    // A rhythm of an hour, so that after each use the instance is started again minutes before the
    // next is due; then one that comes after ten minutes and is held past the time it was planned for.
    let rhythm = |rounds: u64| (0..rounds).map(|round| (round * 60, 1));
    let regular: Vec<(u64, u64)> = rhythm(100).collect();
    let last = 99 * 60;
    let two_more = [(last + 10, 100), (last + 111, 1)];
    let early: Vec<(u64, u64)> = rhythm(100).chain(two_more).collect();
    let (regular, early) = (replay(&regular), replay(&early));
    assert_eq!(early.misses(), regular.misses() + 2);
    assert_eq!(early.starts(), regular.starts() + 2, "each its own");
    assert_eq!(early.idle_ms(), regular.idle_ms(), "none idles meanwhile");
}

#[test]
fn a_full_pool_passes_its_instance_to_the_request_that_waits() {
    // Ready at 0:30, held to 10:30 and passed on, held to 20:30.
    let tally = replay_with(&[(0, 10), (5, 10), (30, 1)], Some(1), 0.0);
    assert_eq!((tally.misses(), tally.hits(), tally.starts()), (2, 1, 1));
    assert_eq!(tally.waits_ms(), [30_000, 330_000]);
    assert_eq!(tally.causes().of(MissCause::Quota), 1);
    // From 20:30 to 30:00.
    assert_eq!(tally.idle_ms(), 570_000);
}

#[test]
fn a_start_that_fails_is_tried_again_and_the_request_waits_on() {
    let requests: Vec<(u64, u64)> = (0..200).map(|round| (round * 600, 1)).collect();
    let (all, none) = (replay_with(&requests, None, 0.3), replay(&requests));
    assert!(all.starts() > none.starts());
    assert!(all.waits_ms().contains(&60_000));
    assert_eq!(all.requests(), none.requests());
}
