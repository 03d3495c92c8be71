//! The whole of adaptation in virtual time: forecasts of a trained network, a planned pool, drift, the gate
//! and the change of models over days that pass in a moment.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use foreshadow_allocator::{AllocationRequest, Target};
use foreshadow_forecast::{PLANNING_LEVELS, Panel, Protocol};
use foreshadow_lstm::{Compute, NetworkSize};
use foreshadow_planner::{Inventory, KnownDemand, Outcome};
use foreshadow_providers::ProcessSpec;
use foreshadow_training::{EpochReport, Observer, StepProgress, TrainOptions};
use foreshadow_types::{PoolName, TenantId, Timestamp};
use tempfile::TempDir;

use super::{PlannedPool, forecasts::Forecasts};
use crate::{
    collector::{GatheredSeries, SeriesKey},
    config::{PoolConfig, ShadowConfig},
    demand::{Fate, RequestSeen},
    inference::{Batch, BatchForecast, BoxedForecaster, season_bins, seasonal_naive},
    retraining::{from_training, holdout},
    views::{GroupAccuracy, GroupKind},
};

const BIN: Duration = Duration::from_mins(5);
const BINS_A_DAY: usize = 288;
const TICK: Duration = Duration::from_mins(1);
/// How long a start takes.
const STARTUP: Duration = Duration::from_mins(3);
/// Pools, each with its own tide; the first is planned.
const POOLS: usize = 8;
/// When the rhythm changes.
const CHANGE: usize = 3 * BINS_A_DAY;
const END: usize = 5 * BINS_A_DAY;

/// A pool's demand in a bin: a rush on the hour, from the change on a larger one every three quarters.
fn demand(pool: usize, bin: usize) -> f32 {
    let (period, rush) = if bin < CHANGE { (12, 60.0) } else { (9, 150.0) };
    let ripple = ((bin * 7_919 + pool) % 5) as f32;
    let rushes = (bin + 5 * pool).is_multiple_of(period);
    4.0 + ripple + if rushes { rush } else { 0.0 }
}

fn bin_start(bin: usize) -> Timestamp {
    Timestamp::from_millis(0) + BIN * bin as u32
}

fn name(pool: usize) -> PoolName {
    PoolName::new(&format!("web-{pool}")).expect("a name")
}

fn keys() -> Vec<SeriesKey> {
    (0..POOLS).map(|pool| SeriesKey::Pool(name(pool))).collect()
}

/// What came in each bin, by pool.
#[derive(Clone, Default)]
struct Seen(Vec<Vec<f32>>);

impl Seen {
    fn bins(&self) -> usize {
        self.0.len()
    }

    fn panel(&self, bins: usize) -> Panel {
        let values = (0..POOLS).flat_map(|pool| self.0[..bins].iter().map(move |bin| bin[pool]));
        let ids = keys().iter().map(SeriesKey::id).collect();
        Panel::new(bin_start(0), BIN, ids, bins, values.collect())
    }
}

/// A pool of single-use instances that is kept as planned.
struct Warm {
    planned: PlannedPool,
    ready: u32,
    /// When those that start will be ready.
    starting: VecDeque<Timestamp>,
    target: u32,
    /// Whether the latest requests found a ready instance.
    lately: VecDeque<bool>,
}

impl Warm {
    fn new() -> Self {
        let process = ProcessSpec::new(vec!["true".to_owned()]);
        let mut config = PoolConfig::new(name(0), process, 1_000);
        config.spec.startup = STARTUP;
        let shadow = ShadowConfig {
            tick: TICK,
            ..ShadowConfig::default()
        };
        Self {
            planned: PlannedPool::new(config, &shadow, 1).expect("it can be planned"),
            ready: 0,
            starting: VecDeque::new(),
            target: 0,
            lately: VecDeque::new(),
        }
    }

    /// Serves what comes in a bin, planned anew at each tick.
    fn bin(&mut self, bin: usize, requests: u32) {
        let ticks = (BIN.as_secs() / TICK.as_secs()) as u32;
        for tick in 0..ticks {
            let from = bin_start(bin) + TICK * tick;
            self.plan(from);
            let count = requests * (tick + 1) / ticks - requests * tick / ticks;
            for number in 0..count {
                self.request(from + TICK * number / count);
            }
        }
    }

    fn plan(&mut self, now: Timestamp) {
        self.arrive(now);
        let inventory = Inventory {
            ready: self.ready,
            starting: self.starting.len() as u32,
            leased: 0,
            queued: 0,
        };
        let plan = self.planned.plan(now, &inventory, &KnownDemand::default());
        self.target = plan.target;
        self.ready = self.ready.min(self.target);
        self.refill(now);
    }

    fn arrive(&mut self, now: Timestamp) {
        while self.starting.front().is_some_and(|at| *at <= now) {
            self.starting.pop_front();
            self.ready += 1;
        }
    }

    fn refill(&mut self, now: Timestamp) {
        while self.ready + (self.starting.len() as u32) < self.target {
            self.starting.push_back(now + STARTUP);
        }
    }

    fn request(&mut self, at: Timestamp) {
        self.arrive(at);
        let outcome = if self.ready > 0 {
            self.ready -= 1;
            Outcome::Hit
        } else if self.starting.pop_front().is_some() {
            Outcome::Join
        } else {
            Outcome::Miss
        };
        self.refill(at);
        let tenant = TenantId::new("acme").expect("a name");
        let request = AllocationRequest::builder(tenant, Target::Pool(name(0)));
        self.planned.request(&RequestSeen {
            at,
            pool: name(0),
            request: Arc::new(request.build().expect("it is whole")),
            fate: Fate::Served(outcome),
            shape_mismatch: false,
        });
        self.lately.push_back(outcome == Outcome::Hit);
        if self.lately.len() > 1_000 {
            self.lately.pop_front();
        }
    }

    fn hit_rate(&self) -> f64 {
        let hits = self.lately.iter().filter(|hit| **hit).count();
        hits as f64 / self.lately.len().max(1) as f64
    }
}

struct Quiet;

impl Observer for Quiet {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn stepped(&mut self, _: &StepProgress) {}

    fn epoch(&mut self, _: &EpochReport<'_>) {}

    fn resumed(&mut self, _: u64) {}
}

/// Trains a small network, as `foreshadow train` does.
fn trained(panel: &Panel, folder: &Path) -> BoxedForecaster {
    let options = TrainOptions {
        network: NetworkSize {
            hidden: 32,
            layers: 1,
            head: 12,
            head_inner: 16,
            levels: PLANNING_LEVELS.to_vec(),
        },
        epoch_steps: 100,
        epochs: Some(6),
        ..TrainOptions::default()
    };
    let trained = foreshadow_training::train(panel, &options, &Compute::cpu(), folder, &mut Quiet);
    trained.expect("it can be trained");
    from_training(&Compute::cpu())(folder)
        .expect("it can be read")
        .forecaster
}

/// What the service does at each bin, with the real network, planner, drift test and gate.
struct Service {
    seen: Seen,
    warm: Warm,
    forecasts: Forecasts,
    model: BoxedForecaster,
    drifted_at: Option<usize>,
    models: TempDir,
    candidates: usize,
}

impl Service {
    fn new() -> Self {
        let models = TempDir::new().expect("a folder can be made");
        let bins =
            (0..2 * BINS_A_DAY).map(|bin| (0..POOLS).map(|pool| demand(pool, bin)).collect());
        let seen = Seen(bins.collect());
        Self {
            model: trained(&seen.panel(seen.bins()), &models.path().join("first")),
            seen,
            warm: Warm::new(),
            forecasts: Forecasts::default(),
            drifted_at: None,
            models,
            candidates: 0,
        }
    }

    /// A bin passes in which this is asked of each pool.
    fn step(&mut self, demand: impl Fn(usize) -> f32) {
        let bin = self.seen.bins();
        self.warm.bin(bin, demand(0).clamp(0.0, 1_000.0) as u32);
        self.seen.0.push((0..POOLS).map(demand).collect());
        let panel = Arc::new(self.seen.panel(bin + 1));
        let answer = self
            .model
            .forecast(&panel, &[bin + 1], 12, &PLANNING_LEVELS);
        let forecasts = answer.expect("it answers").remove(0).into_iter();
        let forecasts = forecasts.map(|quantiles| BatchForecast {
            quantiles,
            model: "lstm".into(),
            fallback: false,
        });
        let batch = Batch {
            forecasts: forecasts.collect(),
        };
        let series = GatheredSeries {
            panel,
            keys: keys().into(),
        };
        if !self.forecasts.take(series, batch).is_empty() {
            self.drifted_at.get_or_insert(bin);
        }
    }

    fn wape(&self) -> f64 {
        let groups = self.forecasts.adaptation();
        let of_first = |group: &&GroupAccuracy| {
            group.kind == GroupKind::Pool && group.name == name(0).as_str()
        };
        groups
            .iter()
            .find(of_first)
            .and_then(|group| group.wape)
            .unwrap_or(0.0)
    }

    fn held_out() -> usize {
        (holdout(BIN, Duration::MAX).as_millis() / BIN.as_millis()) as usize
    }

    /// Trains on all that was seen before the windows that judge it.
    fn candidate(&mut self) -> BoxedForecaster {
        self.candidates += 1;
        let folder = format!("candidate-{}", self.candidates);
        let folder: PathBuf = self.models.path().join(folder);
        trained(
            &self.seen.panel(self.seen.bins() - Self::held_out()),
            &folder,
        )
    }

    /// Whether the gate lets a candidate take over.
    fn judged(&mut self, mut candidate: BoxedForecaster) -> bool {
        let protocol = Protocol {
            horizon: 6,
            windows: 8,
            season: season_bins(BIN),
        };
        let report = foreshadow_training::compare(
            &self.seen.panel(self.seen.bins()),
            protocol,
            candidate.as_mut(),
            Some(self.model.as_mut()),
            &mut [&mut seasonal_naive(BIN)],
        );
        let promotes = report.expect("it can be judged").promotes();
        if promotes {
            self.model = candidate;
        }
        promotes
    }
}

#[test]
fn a_new_rhythm_is_noticed_and_learnt_and_the_error_falls_again() {
    let mut service = Service::new();
    for bin in 2 * BINS_A_DAY..CHANGE {
        service.step(|pool| demand(pool, bin));
    }
    let before = (service.wape(), service.warm.hit_rate());
    assert_eq!(service.drifted_at, None);
    let (mut worst, mut fewest) = before;
    let mut promoted = Vec::new();
    let mut trained_at = None;
    for bin in CHANGE..END {
        service.step(|pool| demand(pool, bin));
        worst = worst.max(service.wape());
        fewest = fewest.min(service.warm.hit_rate());
        let settled = |at| bin >= at + 2 * Service::held_out();
        let due = match trained_at {
            None => service.drifted_at.is_some_and(settled),
            Some(at) => bin >= at + BINS_A_DAY / 2,
        };
        if due {
            trained_at = Some(bin);
            let candidate = service.candidate();
            if service.judged(candidate) {
                promoted.push(bin);
            }
        }
    }
    let after = (service.wape(), service.warm.hit_rate());
    let told = format!("before {before:?}, worst {worst}, {fewest}, after {after:?}, {promoted:?}");
    let drifted_at = service.drifted_at.expect("drift is found");
    assert!(drifted_at < CHANGE + 12, "{drifted_at}: {told}");
    assert!(worst > 2.0 * before.0, "the error rises: {told}");
    assert!(fewest < before.1 - 0.1, "hits become fewer: {told}");
    let first = promoted.first().copied().expect("a model is promoted");
    assert!(first < CHANGE + BINS_A_DAY, "{told}");
    assert!(after.0 < 0.75 * worst, "the error falls: {told}");
    assert!(after.1 > 0.9, "hits return: {told}");
}

#[test]
fn a_training_on_an_hour_of_garbage_is_not_promoted() {
    let mut service = Service::new();
    for bin in 2 * BINS_A_DAY..CHANGE {
        service.step(|pool| demand(pool, bin));
    }
    for bin in CHANGE..CHANGE + 12 {
        service.step(|_| if bin.is_multiple_of(2) { 1e6 } else { -1e6 });
    }
    // What judges is as it was before, what is fitted to has the garbage.
    for bin in CHANGE + 12..CHANGE + 12 + Service::held_out() {
        service.step(|pool| demand(pool, bin - CHANGE));
    }
    let candidate = service.candidate();
    assert!(!service.judged(candidate));
}
