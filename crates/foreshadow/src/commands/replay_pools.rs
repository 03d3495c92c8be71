//! `foreshadow replay-pools`: what a server asks of a process of its own before it promotes a model.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    path::PathBuf,
    time::Duration,
};

use foreshadow_engine::{PoolReplay, PoolsCase, PoolsReport, Served, Wishes};
use foreshadow_history::{HistoryPaths, RequestReader};
use foreshadow_planner::{PoolSettings, stable_hash};
use foreshadow_simulation::backtest::{
    Planned, PoolTrace, Setting, StartupTime, Trace, TraceBuilder, replay_wishes,
};
use foreshadow_training::{arrival_of, request_files};
use foreshadow_types::{PoolName, Timestamp};

use crate::{clock::now, failure::Failure};

/// Planners live through so much of the past before the window.
const LOOKED_BACK: Duration = Duration::from_hours(14 * 24);

/// No pool beyond these is replayed.
const MOST_POOLS: usize = 16;

/// No pool is begun when so much of the time has passed.
const TIME_SHARE: f64 = 0.5;

/// Arguments of `foreshadow replay-pools`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to compare, as a server has written it.
    #[arg(long, value_name = "FILE")]
    case: PathBuf,
}

/// Runs the command: prints a [`PoolsReport`] as JSON.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let begun = now();
    let case = PoolsCase::read(&args.case)
        .map_err(|error| Failure::bad_input(format!("--case: {error}")))?;
    let give_up = begun + case.within().mul_f64(TIME_SHARE);
    let report = report(&case, || now() >= give_up)?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn report(case: &PoolsCase, late: impl Fn() -> bool) -> Result<PoolsReport, Failure> {
    let Some(trace) = trace(case)? else {
        return Ok(PoolsReport::default());
    };
    let wishes = case.wishes().map_err(Failure::bad_input)?;
    // Nothing is scored that was not forecast.
    let Some((from, _)) = wishes[0].first() else {
        return Ok(PoolsReport::default());
    };
    let window = (*from, case.window().1);
    let pools = busiest(case.pools(), &trace, window.0);
    compared(&trace, pools, window, &wishes, late)
}

fn compared(
    trace: &Trace,
    pools: Vec<(&PoolTrace, &PoolSettings)>,
    window: (Timestamp, Timestamp),
    wishes: &[Wishes; 2],
    late: impl Fn() -> bool,
) -> Result<PoolsReport, Failure> {
    let mut report = PoolsReport::default();
    for (pool, settings) in pools {
        if report.pools.len() >= MOST_POOLS || late() {
            report.left_out += 1;
            continue;
        }
        report
            .pools
            .push(replayed(trace, pool, settings, window, wishes)?);
    }
    Ok(report)
}

/// The requests of the pools in question; `None` if nobody has asked for any.
fn trace(case: &PoolsCase) -> Result<Option<Trace>, Failure> {
    let files = request_files(case.histories()).map_err(Failure::bad_input)?;
    if files.is_empty() {
        return Ok(None);
    }
    let pools: BTreeSet<&PoolName> = case.pools().map(|(name, _)| name).collect();
    let (from, to) = case.window();
    let within = from - LOOKED_BACK..to;
    let paths = HistoryPaths::expand(&files).map_err(Failure::bad_input)?;
    let mut builder = TraceBuilder::new();
    let mut any = false;
    for record in RequestReader::open(&paths).map_err(Failure::bad_input)? {
        let record = record.map_err(Failure::bad_input)?;
        if !within.contains(&record.at) || !pools.contains(&record.pool) {
            continue;
        }
        any = true;
        let key = record.merge_key.as_ref();
        let key = key.and_then(|key| NonZeroU64::new(stable_hash(key.as_str())));
        builder
            .push_keyed(&record.pool, &arrival_of(&record), key)
            .map_err(Failure::bad_input)?;
    }
    if !any {
        return Ok(None);
    }
    builder.build().map(Some).map_err(Failure::bad_input)
}

/// The pools, those with the most requests in the window first.
fn busiest<'a>(
    settings: impl Iterator<Item = (&'a PoolName, &'a PoolSettings)>,
    trace: &'a Trace,
    from: Timestamp,
) -> Vec<(&'a PoolTrace, &'a PoolSettings)> {
    let settings: BTreeMap<&PoolName, &PoolSettings> = settings.collect();
    let pools = trace.pools().iter();
    let mut pools: Vec<_> = pools
        .filter_map(|pool| Some((pool, *settings.get(pool.name())?)))
        .collect();
    let requests = |pool: &PoolTrace| {
        let times = pool.times_ms();
        times.len() - times.before(from.as_millis())
    };
    pools.sort_by_key(|(pool, _)| std::cmp::Reverse(requests(pool)));
    pools
}

fn replayed(
    trace: &Trace,
    pool: &PoolTrace,
    settings: &PoolSettings,
    window: (Timestamp, Timestamp),
    [candidate, current]: &[Wishes; 2],
) -> Result<PoolReplay, Failure> {
    let startup = StartupTime::fixed(settings.startup);
    let setting =
        Setting::within(trace, window, settings.tick, startup).map_err(Failure::bad_input)?;
    let planned = replay_wishes(pool, &setting, settings, &[candidate, current]);
    let planned = planned.map_err(Failure::bad_input)?;
    let served = |one: &Planned| Served {
        hits: one.tally.hits(),
        idle_s: one.tally.idle_ms() as f64 / 1e3,
    };
    Ok(PoolReplay {
        pool: pool.name().to_string(),
        requests: planned.first().map_or(0, |one| one.tally.requests()),
        candidate: planned.first().map(served).unwrap_or_default(),
        current: planned.get(1).map(served).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use foreshadow_planner::{Arrival, PreAllocation};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(minute: u32) -> Timestamp {
        Timestamp::from_millis(0) + MINUTE * minute
    }

    fn pool(name: &str) -> PoolName {
        PoolName::new(name).expect("a name")
    }

    /// A rush of so many requests for each pool in the last of three hours.
    fn rush(pools: &[(&str, usize)]) -> Trace {
        let mut builder = TraceBuilder::new();
        for (name, count) in pools {
            for _ in 0..*count {
                let arrival = Arrival {
                    at: at(150),
                    user: 1,
                    application: 0,
                    hold: None,
                };
                let pushed = builder.push(&pool(name), &arrival);
                pushed.expect("in order");
            }
        }
        builder.build().expect("there are requests")
    }

    /// So many instances of a pool from a minute on, for ten.
    fn wishes(name: &str, minute: u32, count: u32) -> Wishes {
        let wanted = PreAllocation {
            rule: "busy".to_owned(),
            pool: pool(name),
            count,
            until: at(minute + 10),
            cause: "cpu".to_owned(),
        };
        vec![(at(minute), vec![wanted]), (at(minute + 10), Vec::new())]
    }

    fn report(late: impl Fn() -> bool, wishes: &[Wishes; 2]) -> PoolsReport {
        let trace = rush(&[("quiet", 1), ("web", 20)]);
        let settings = PoolSettings::for_hit_rate(0.9, MINUTE, MINUTE);
        let names = [pool("quiet"), pool("web"), pool("never-asked-for")];
        let settings = names.iter().map(|name| (name, &settings));
        let pools = busiest(settings, &trace, at(120));
        compared(&trace, pools, (at(120), at(180)), wishes, late).expect("it is replayed")
    }

    #[test]
    fn a_model_that_misses_a_rush_which_the_one_in_use_foresees_is_refused() {
        let [foresees, late] = [145, 155].map(|minute| wishes("web", minute, 20));
        let worse = report(|| false, &[late.clone(), foresees.clone()]);
        let pools: Vec<&str> = worse.pools.iter().map(|one| one.pool.as_str()).collect();
        assert_eq!(pools, ["web", "quiet"], "the busiest first");
        let web = &worse.pools[0];
        assert_eq!((web.requests, web.current.hits), (20, 20));
        assert_eq!(web.candidate.hits, 0);
        assert!(worse.refusal().is_some());
        assert_eq!(report(|| false, &[foresees.clone(), late]).refusal(), None);
        // As many hits for twice the idle time.
        let wasteful = wishes("web", 135, 20);
        assert!(report(|| false, &[wasteful, foresees]).refusal().is_some());
    }

    #[test]
    fn pools_for_which_there_is_no_time_are_counted() {
        let none = [Wishes::new(), Wishes::new()];
        let report = report(|| true, &none);
        assert_eq!((report.pools.len(), report.left_out), (0, 2));
    }
}
