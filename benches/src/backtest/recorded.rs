//! The same on a recorded log, `nasa_http`, where the folder of the traces is given.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_history::{HistoryPaths, RequestReader};
use foreshadow_planner::{
    Arrival, DemandModel, Inventory, Outcome, PoolPlanner, PoolSettings, TargetPolicy,
    baselines::{
        HoltWinters, IntelligentPooling, KeepAlive, Reactive, SampledDemand, SeasonalDemand,
        StaticPool, TrailingDemand, TrailingMaximum, TrailingMoments,
    },
};
use foreshadow_simulation::backtest::{
    NoProbe, PoolTrace, Setting, StartupTime, Trace, TraceBuilder, simulate,
};
use foreshadow_training::arrival_of;
use foreshadow_types::Timestamp;

use super::{WINDOW_TICKS, event_queue};
use crate::{
    clock::{Watch, seconds},
    report::{Row, median},
};

const LOG: &str = "requests_nasa_http_1995.parquet";
const LEAD_PART: Duration = Duration::from_secs(10);
/// About what the log needs for a hit rate of 0.95.
const SIZE: u32 = 40;
const DAY_TICKS: u64 = 8_640;
const RUNS: usize = 3;

/// Requests a second under each simple policy, and the planner's ticks a second over the whole log,
/// fits apart; nothing without the log.
pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    let Some(path) = log() else {
        eprintln!("no {LOG}: give its folder in FORESHADOW_TRACES to measure on it");
        return Ok(Vec::new());
    };
    let trace = read(&path)?;
    let setting = Setting::new(
        &trace,
        trace.start(),
        LEAD_PART,
        StartupTime::fixed(LEAD_PART),
    )?;
    let pool = &trace.pools()[0];
    let mut rows = simple(pool, &setting);
    rows.push(planned(pool, &setting)?);
    Ok(rows)
}

fn log() -> Option<PathBuf> {
    let path = Path::new(&env::var_os("FORESHADOW_TRACES")?).join(LOG);
    path.is_file().then_some(path)
}

fn read(path: &Path) -> anyhow::Result<Trace> {
    let paths = HistoryPaths::expand(&[path.to_owned()])?;
    let mut trace = TraceBuilder::new();
    for record in RequestReader::open(&paths)? {
        let record = record?;
        trace.push(&record.pool, &arrival_of(&record))?;
    }
    Ok(trace.build()?)
}

fn simple(pool: &PoolTrace, setting: &Setting) -> Vec<Row> {
    let mut peers = Vec::new();
    let times_ms: Vec<i64> = pool.times_ms().walk().collect();
    for _ in 0..RUNS {
        peers.push(rate(pool, || event_queue(&times_ms)));
    }
    let peer_value = median(peers);
    let demand = || TrailingDemand::new(setting.lead_time());
    let row = |name, value| Row {
        name,
        value,
        unit: "requests/s",
        peer: "event_queue",
        peer_value,
    };
    vec![
        row(
            "http_static",
            replayed(pool, setting, || StaticPool::new(SIZE)),
        ),
        row(
            "http_reactive",
            replayed(pool, setting, || {
                Reactive::new(demand(), TrailingMoments::new(WINDOW_TICKS), 2.0)
            }),
        ),
        row(
            "http_keep_alive",
            replayed(pool, setting, || {
                KeepAlive::new(demand(), TrailingMaximum::new(DAY_TICKS))
            }),
        ),
        row(
            "http_holt_winters",
            replayed(pool, setting, || {
                let demand = SeasonalDemand::new(setting.lead_time(), setting.tick());
                HoltWinters::new(demand, 2.0)
            }),
        ),
        row(
            "http_ssa",
            replayed(pool, setting, || {
                IntelligentPooling::new(SampledDemand::new(setting.lead_time()), 70)
            }),
        ),
    ]
}

/// Requests a second under a policy that is shown them as they come.
fn replayed<P: TargetPolicy>(pool: &PoolTrace, setting: &Setting, policy: impl Fn() -> P) -> f64 {
    let replay = || simulate(pool, setting, &mut policy(), &mut NoProbe).hits();
    median((0..RUNS).map(|_| rate(pool, replay)).collect::<Vec<_>>())
}

fn rate(pool: &PoolTrace, replay: impl Fn() -> u64) -> f64 {
    let mut hits = 0;
    let seconds = seconds(|| hits = replay());
    eprintln!("{hits} hits in {seconds:.3} s");
    pool.len() as f64 / seconds
}

fn planned(pool: &PoolTrace, setting: &Setting) -> anyhow::Result<Row> {
    let settings = PoolSettings::for_hit_rate(0.95, LEAD_PART, setting.tick());
    let mut planner = Timed {
        planner: PoolPlanner::new(settings)?,
        fitting: Duration::ZERO,
        fits: 0,
    };
    let ours = seconds(|| {
        let _ = simulate(pool, setting, &mut planner, &mut NoProbe);
    });
    let (fits, fitting) = (planner.fits, planner.fitting.as_secs_f64());
    eprintln!("planner: {ours:.1} s, of which {fits} fits took {fitting:.1} s");
    let mut reactive = Reactive::new(
        TrailingDemand::new(setting.lead_time()),
        TrailingMoments::new(WINDOW_TICKS),
        2.0,
    );
    let theirs = seconds(|| {
        let _ = simulate(pool, setting, &mut reactive, &mut NoProbe);
    });
    let ticks = setting.ticks_ms().count() as f64;
    Ok(Row {
        name: "http_planner",
        value: ticks / (ours - fitting),
        unit: "ticks/s",
        peer: "reactive",
        peer_value: ticks / theirs,
    })
}

/// The planner, with the ticks at which it fitted a model set apart.
struct Timed {
    planner: PoolPlanner,
    fitting: Duration,
    fits: u32,
}

impl TargetPolicy for Timed {
    fn observe(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.planner.observe(arrival, outcome);
    }

    fn observe_merged(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.planner.observe_merged(arrival, outcome);
    }

    fn target(&mut self, now: Timestamp, inventory: &Inventory) -> u32 {
        let fitted = |planner: &PoolPlanner| planner.model().map(DemandModel::trained_through);
        let before = fitted(&self.planner);
        let watch = Watch::start();
        let target = self.planner.target(now, inventory);
        if fitted(&self.planner) != before {
            self.fitting += watch.elapsed();
            self.fits += 1;
        }
        target
    }
}
