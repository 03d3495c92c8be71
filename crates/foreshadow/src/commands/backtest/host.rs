//! What a backtest needs from outside: planners, a place for ticks, and a line of progress.

use std::{io::IsTerminal, path::Path};

use foreshadow_history::{DumpColumn, DumpKind, DumpValue, DumpWriter, HistoryError};
use foreshadow_planner::{PlannerGroup, PoolSettings, TargetPolicies};
use foreshadow_simulation::backtest::{BacktestHost, PoolTrace, ReplayName, Setting, TickRecord};

use super::report::Levels;
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
    dump: Option<DumpWriter>,
    levels: Option<Levels>,
    /// The first thing that went wrong in a call that cannot say so.
    failure: Option<Failure>,
}

impl Host {
    /// Opens the dump, if one is wanted; `levels` are followed for a report.
    pub(super) fn new(
        setting: &Setting,
        dump: Option<&Path>,
        levels: Option<Levels>,
    ) -> Result<Self, Failure> {
        let columns = COLUMNS.map(|(name, kind)| DumpColumn::new(name, kind));
        let dump = dump
            .map(|path| DumpWriter::create(path, &columns))
            .transpose()
            .map_err(|error| Failure::bad_input(format!("--dump: {error}")))?;
        Ok(Self {
            setting: *setting,
            dump,
            levels,
            failure: None,
        })
    }

    /// Completes the dump and gives back the levels.
    pub(super) fn finish(self) -> Result<Option<Levels>, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Some(dump) = self.dump {
            dump.finish()?;
        }
        Ok(self.levels)
    }
}

impl BacktestHost for Host {
    fn planners(&mut self, _: &PoolTrace, hit_rates: &[f64]) -> Option<Box<dyn TargetPolicies>> {
        let startup = self.setting.startup().typical();
        let tick = self.setting.tick();
        let settings = hit_rates
            .iter()
            .map(|&rate| PoolSettings::for_hit_rate(rate, startup, tick))
            .collect();
        match PlannerGroup::new(settings) {
            Ok(planners) => Some(Box::new(planners)),
            Err(error) => {
                self.failure.get_or_insert(Failure::bad_input(error));
                None
            }
        }
    }

    fn tick(&mut self, replay: &ReplayName<'_>, record: &TickRecord) {
        if let Some(levels) = &mut self.levels {
            levels.tick(replay, record);
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
