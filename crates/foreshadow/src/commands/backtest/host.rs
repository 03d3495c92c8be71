//! What a backtest needs from outside: planners, a place for ticks, and a line of progress.

use std::{collections::BTreeMap, io::IsTerminal, num::NonZeroU32, path::Path};

use foreshadow_history::{DumpColumn, DumpKind, DumpValue, DumpWriter, HistoryError};
use foreshadow_planner::{DemandModel, PlannerGroup, PoolSettings, TargetPolicies};
use foreshadow_simulation::backtest::{
    AdaptingPlanners, BacktestHost, PoolTrace, ReplayName, Setting, TickRecord,
};
use foreshadow_types::PoolName;

use super::report::Followed;
use crate::failure::Failure;

/// Columns of the dump: which replay, then the tick.
const COLUMNS: [(&str, DumpKind); 11] = [
    ("policy", DumpKind::Text),
    ("target_hit_rate", DumpKind::Float),
    ("pool", DumpKind::Text),
    ("timestamp", DumpKind::Time),
    ("target", DumpKind::Integer),
    ("ready", DumpKind::Integer),
    ("starting", DumpKind::Integer),
    ("demand", DumpKind::Integer),
    ("hits", DumpKind::Integer),
    ("joins", DumpKind::Integer),
    ("misses", DumpKind::Integer),
];

/// Serves one backtest.
pub(super) struct Host {
    setting: Setting,
    models: BTreeMap<PoolName, DemandModel>,
    dump: Option<DumpWriter>,
    followed: Option<Followed>,
    /// The first thing that went wrong in a call that cannot say so.
    failure: Option<Failure>,
}

impl Host {
    /// Opens the dump, if one is wanted; planners start with `models`, and a report
    /// takes what is `followed`.
    pub(super) fn new(
        setting: &Setting,
        models: BTreeMap<PoolName, DemandModel>,
        dump: Option<&Path>,
        followed: Option<Followed>,
    ) -> Result<Self, Failure> {
        let columns = COLUMNS.map(|(name, kind)| DumpColumn::new(name, kind));
        let dump = dump
            .map(|path| DumpWriter::create(path, &columns))
            .transpose()
            .map_err(|error| Failure::bad_input(format!("--dump: {error}")))?;
        Ok(Self {
            setting: *setting,
            models,
            dump,
            followed,
            failure: None,
        })
    }

    /// Completes the dump and gives back what was followed.
    pub(super) fn finish(self) -> Result<Option<Followed>, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Some(dump) = self.dump {
            dump.finish()?;
        }
        Ok(self.followed)
    }
}

impl BacktestHost for Host {
    fn planners(&mut self, pool: &PoolTrace, hit_rates: &[f64]) -> Option<Box<dyn TargetPolicies>> {
        match planners(&self.setting, self.models.get(pool.name()), hit_rates) {
            Ok(planners) => Some(planners),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    fn tick(&mut self, replay: &ReplayName<'_>, record: &TickRecord) {
        if let Some(followed) = &mut self.followed {
            followed.tick(replay, record);
        }
        let Some(dump) = &mut self.dump else { return };
        if let Err(error) = write(dump, replay, record) {
            self.dump = None;
            self.failure.get_or_insert(error.into());
        }
    }

    fn progress(&mut self, part: &str) {
        if std::io::stderr().is_terminal() {
            eprintln!("backtest: {part}");
        }
    }
}

/// Planners as `serve` has them. Where all starts take the same time nothing is to be measured, and they
/// learn together.
fn planners(
    setting: &Setting,
    model: Option<&DemandModel>,
    hit_rates: &[f64],
) -> Result<Box<dyn TargetPolicies>, Failure> {
    let max = setting.max_instances().map_or(u32::MAX, NonZeroU32::get);
    let settings = |&rate: &f64| PoolSettings {
        max,
        ..PoolSettings::for_hit_rate(rate, setting.startup().typical(), setting.tick())
    };
    let settings = hit_rates.iter().map(settings).collect();
    if !setting.startup().is_fixed() {
        let planners = AdaptingPlanners::new(settings, model).map_err(Failure::bad_input)?;
        return Ok(Box::new(planners));
    }
    let planners = PlannerGroup::new(settings).map_err(Failure::bad_input)?;
    let Some(model) = model else {
        return Ok(Box::new(planners));
    };
    let planners = planners.with_model(model.clone());
    Ok(Box::new(planners.map_err(Failure::bad_input)?))
}

fn write(
    dump: &mut DumpWriter,
    replay: &ReplayName<'_>,
    record: &TickRecord,
) -> Result<(), HistoryError> {
    let count = |value: u32| DumpValue::Integer(i64::from(value));
    dump.row(&[
        DumpValue::Text(replay.policy.name()),
        DumpValue::Float(replay.target_hit_rate),
        DumpValue::Text(replay.pool.name().as_str()),
        DumpValue::Time(record.at),
        count(record.target),
        count(record.ready),
        count(record.starting),
        count(record.demand),
        count(record.hits),
        count(record.joins),
        count(record.misses),
    ])
}
