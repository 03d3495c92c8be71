//! What a process is told that replays the pools with a candidate and with the model in use.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_forecast::{
    Forecaster, PLANNING_LEVELS, Panel, QuantileForecast, SeriesId, SeriesKind,
};
use foreshadow_history::{DEFAULT_MAX_VALUES, HistoryPaths, PanelLimits, PanelOptions, load_panel};
use foreshadow_lstm::Compute;
use foreshadow_planner::{ForecastView, PoolSettings, PreAllocation, RuleBook};
use foreshadow_types::{PoolName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    judge::Rivals,
    model::{LoadModel, from_training},
    ruled::{Ruled, RuledRecord},
};
use crate::inference::{Untrained, seasonal_naive};

/// Steps of forecasts that are held at a time, over all series and moments: some 300 MB.
const MOST_STEPS: usize = 8 << 20;

/// What rules want from each moment on, in order of time.
pub type Wishes = Vec<(Timestamp, Vec<PreAllocation>)>;

/// Which models are to be compared on which window, and by what.
#[derive(Debug, Clone)]
pub struct PoolsCase {
    pub(super) candidate: PathBuf,
    pub(super) rivals: Rivals,
    pub(super) histories: Vec<PathBuf>,
    pub(super) window: (Timestamp, Timestamp),
    pub(super) interval: Duration,
    pub(super) within: Duration,
    pub(super) ruled: Ruled,
}

#[derive(Debug, Serialize, Deserialize)]
struct CaseRecord {
    candidate: PathBuf,
    models: PathBuf,
    configured: Option<PathBuf>,
    pretrained: bool,
    histories: Vec<PathBuf>,
    from_ms: i64,
    to_ms: i64,
    interval: Duration,
    within: Duration,
    ruled: RuledRecord,
}

impl PoolsCase {
    /// Reads what a server has written for a process of its own.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let record: CaseRecord = serde_json::from_slice(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self {
            candidate: record.candidate,
            rivals: Rivals {
                models: record.models,
                configured: record.configured,
                pretrained: record.pretrained,
            },
            histories: record.histories,
            window: (
                Timestamp::from_millis(record.from_ms),
                Timestamp::from_millis(record.to_ms),
            ),
            interval: record.interval,
            within: record.within,
            ruled: record.ruled.read()?,
        })
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), String> {
        let (from, to) = self.window;
        let record = CaseRecord {
            candidate: self.candidate.clone(),
            models: self.rivals.models.clone(),
            configured: self.rivals.configured.clone(),
            pretrained: self.rivals.pretrained,
            histories: self.histories.clone(),
            from_ms: from.as_millis(),
            to_ms: to.as_millis(),
            interval: self.interval,
            within: self.within,
            ruled: RuledRecord::from(&self.ruled),
        };
        let text = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// The pools that rules keep warm, and how their planners are set.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolName, &PoolSettings)> {
        let pools = self.ruled.pools.iter();
        pools.map(|pool| (&pool.name, &pool.settings))
    }

    /// Files and folders of past usage and requests.
    pub fn histories(&self) -> &[PathBuf] {
        &self.histories
    }

    /// The end of the history, which the candidate has not seen.
    pub fn window(&self) -> (Timestamp, Timestamp) {
        self.window
    }

    /// How long the whole may take.
    pub fn within(&self) -> Duration {
        self.within
    }

    /// What the rules want in the window by the forecasts of the candidate, and by those of the model in
    /// use. Each begins with the first moment that is forecast for both.
    ///
    /// # Errors
    /// Why a model or the history cannot be read.
    pub fn wishes(&self) -> Result<[Wishes; 2], String> {
        self.wishes_by(&from_training(&Compute::cpu()))
    }

    pub(super) fn wishes_by(&self, load: &LoadModel) -> Result<[Wishes; 2], String> {
        let panel = self.panel()?;
        let mut candidate = load(&self.candidate)?.forecaster;
        let in_use = self.rivals.in_use(load, self.interval);
        let mut in_use =
            in_use.unwrap_or_else(|| Box::new(Untrained::new(self.rivals.pretrained)) as _);
        Ok([
            self.wishes_of(&panel, candidate.as_mut())?,
            self.wishes_of(&panel, in_use.as_mut())?,
        ])
    }

    /// The series that rules look at.
    fn panel(&self) -> Result<Panel, String> {
        let mut metrics: Vec<String> = Vec::new();
        for rule in &self.ruled.rules {
            if !metrics.contains(&rule.metric) {
                metrics.push(rule.metric.clone());
            }
        }
        let paths = HistoryPaths::expand(&self.histories).map_err(|error| error.to_string())?;
        let options = PanelOptions {
            metrics: Some(metrics),
            interval: self.interval,
            until: None,
            limits: PanelLimits::Sample {
                max_values: DEFAULT_MAX_VALUES,
                seed: 0,
            },
        };
        let panel = load_panel(&paths, &options).map_err(|error| error.to_string())?;
        let concerned = panel.ids().iter().enumerate().filter(|(_, id)| {
            id.kind == SeriesKind::Entity && self.ruled.concerns(&id.entity, &id.metric)
        });
        let concerned: Vec<usize> = concerned.map(|(series, _)| series).collect();
        Ok(panel.only(&concerned))
    }

    fn wishes_of(&self, panel: &Panel, model: &mut dyn Forecaster) -> Result<Wishes, String> {
        let (origins, horizon) = self.origins(panel);
        if origins.is_empty() {
            return Ok(Wishes::new());
        }
        // As when it serves: where a model fails, seasonal-naive answers.
        let forecasts = model
            .forecast(panel, &origins, horizon, &PLANNING_LEVELS)
            .or_else(|_| {
                seasonal_naive(self.interval).forecast(panel, &origins, horizon, &PLANNING_LEVELS)
            })
            .map_err(|error| error.to_string())?;
        let rules = RuleBook::new(self.ruled.rules.clone(), self.ruled.shapes());
        let mut rules = rules.map_err(|error| error.to_string())?;
        let evaluated = origins.iter().zip(&forecasts).map(|(origin, forecasts)| {
            let at = panel.bin_start(*origin);
            let views = self.views(panel, forecasts);
            (at, rules.evaluate(at, &views))
        });
        Ok(evaluated.collect())
    }

    fn views<'a>(
        &'a self,
        panel: &'a Panel,
        forecasts: &'a [QuantileForecast],
    ) -> Vec<ForecastView<'a>> {
        let finite = panel.ids().iter().zip(forecasts);
        let finite = finite.filter(|(_, forecast)| forecast.is_finite());
        let view = |(id, forecast): (&'a SeriesId, _)| ForecastView {
            entity: &id.entity,
            category: self.ruled.categories.get(&id.entity).map(|name| &**name),
            metric: &id.metric,
            interval: self.interval,
            forecast,
        };
        finite.map(view).collect()
    }

    /// The bins of the window, of which the latest are taken that there is room for, and how many steps
    /// the rules look ahead.
    fn origins(&self, panel: &Panel) -> (Vec<usize>, usize) {
        let bin_ms = self.interval.as_millis().max(1);
        let steps = self.ruled.rules.iter();
        let steps = steps.map(|rule| rule.within.as_millis().div_ceil(bin_ms).max(1));
        let horizon = steps.max().unwrap_or(1) as usize;
        let series = panel.ids().len();
        if series == 0 {
            return (Vec::new(), horizon);
        }
        let (from, to) = self.window;
        let within = |bin: &usize| (from..to).contains(&panel.bin_start(*bin));
        let mut origins: Vec<usize> = (1..=panel.bins()).filter(within).collect();
        let room = (MOST_STEPS / series.saturating_mul(horizon).max(1)).max(1);
        origins.drain(..origins.len().saturating_sub(room));
        (origins, horizon)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foreshadow_history::UsageWriter;
    use foreshadow_types::EntityId;

    use super::*;
    use crate::retraining::{
        ruled,
        tests::{load_constant, write_constant},
    };

    /// An hour of minutes of two metrics, of which rules look at `cpu`.
    fn case(folder: &Path) -> PoolsCase {
        let usage = folder.join("usage");
        fs::create_dir_all(&usage).unwrap();
        let mut writer = UsageWriter::create(&usage.join("1.parquet"), &["cpu", "memory"]).unwrap();
        let entity = EntityId::new("ada").unwrap();
        for minute in 0..60 {
            let values = [Some(f64::from(minute)), Some(1.0)];
            writer.write(at(minute), &entity, &values).unwrap();
        }
        writer.finish().unwrap();
        let candidate = write_constant(&folder.join("models/candidate-1"), "70");
        PoolsCase {
            candidate,
            rivals: Rivals {
                models: folder.join("models"),
                configured: None,
                pretrained: false,
            },
            histories: vec![usage],
            window: (at(40), at(60)),
            interval: Duration::from_mins(1),
            within: Duration::from_mins(1),
            ruled: ruled::tests::any(),
        }
    }

    fn at(minute: u32) -> Timestamp {
        Timestamp::from_millis(1_790_000_040_000) + Duration::from_mins(1) * minute
    }

    /// The moments at which a rule fires.
    fn fires(wishes: &Wishes) -> Vec<Timestamp> {
        let some = wishes.iter().filter(|(_, wanted)| !wanted.is_empty());
        some.map(|(at, _)| *at).collect()
    }

    #[test]
    fn rules_fire_in_the_window_by_the_forecasts_of_either_model() {
        let folder = tempfile::tempdir().unwrap();
        let case = case(folder.path());
        let load: LoadModel = Arc::new(|folder: &Path| {
            let mut model = load_constant()(folder)?;
            model.interval = Duration::from_mins(1);
            Ok(model)
        });
        // The threshold is 50. The candidate always says 70; without a model the latest value is
        // repeated, that of bin 51 first at minute 52.
        let [candidate, in_use] = case.wishes_by(&load).unwrap();
        let all: Vec<Timestamp> = (40..60).map(at).collect();
        assert_eq!(fires(&candidate), all);
        assert_eq!(fires(&in_use), all[12..]);
        assert_eq!(candidate[0].1[0].count, 3);

        // A promoted model is in use.
        write_constant(&case.rivals.models.join("candidate-2"), "20");
        foreshadow_training::promote(&case.rivals.models, "candidate-2").unwrap();
        let [_, in_use] = case.wishes_by(&load).unwrap();
        assert_eq!(fires(&in_use), []);
        assert_eq!(in_use.len(), 20);
    }

    #[test]
    fn another_process_reads_what_was_written_and_says_where_it_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let (case, file) = (case(folder.path()), folder.path().join("case.json"));
        case.write(&file).unwrap();
        let read = PoolsCase::read(&file).unwrap();
        assert_eq!((&read.ruled, read.window), (&case.ruled, case.window));
        assert_eq!(read.candidate, case.candidate);
        fs::write(&file, "{").unwrap();
        assert!(PoolsCase::read(&file).unwrap_err().contains("case.json"));
    }
}
