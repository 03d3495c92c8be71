//! Demand models of pools: what a planner starts with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_history::{HistoryError, HistoryKind, HistoryPaths, RequestReader, RequestRecord};
use foreshadow_planner::{Arrival, DemandModel, DemandStudy, stable_hash};
use foreshadow_types::{ApplicationId, PoolName, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    files,
    manifest::Manifest,
    model::{ModelError, rewrite_manifest},
};

/// Pools that get a model, those with the most requests first.
const MOST_POOLS: usize = 512;
/// Ticks that are looked back on: almost two years of minutes.
const MOST_TICKS: u32 = 1_000_000;
/// The folder of the demand models within a model's folder.
const FOLDER: &str = "pools";

/// What demand models are fitted to.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolFitOptions {
    /// Files, folders or globs; files of usage are passed over.
    pub history: Vec<PathBuf>,
    /// Only requests before this time are used.
    pub until: Option<Timestamp>,
    /// How long an instance takes to start.
    pub startup: Duration,
    /// The time between two plans.
    pub tick: Duration,
    /// The seed of all chance.
    pub seed: u64,
}

/// One pool's demand model, as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolEntry {
    /// The pool's name.
    pub pool: String,
    /// The file within the model's folder.
    pub file: PathBuf,
    /// The start-up time it was fitted to, in seconds.
    pub startup_s: f64,
    /// The time between two plans that it was fitted to, in seconds.
    pub tick_s: f64,
    /// The last request it was fitted to; RFC 3339.
    pub trained_through: String,
    /// How many trees it has.
    pub trees: usize,
    /// By how much the logarithm of the likelihood of a held-out hit rose over a constant pool's.
    pub gain: f32,
}

/// A request of the history as planners see it.
pub fn arrival_of(record: &RequestRecord) -> Arrival {
    let hash = |name: Option<&str>| name.map_or(0, stable_hash);
    Arrival {
        at: record.at,
        user: hash(record.user.as_ref().map(UserId::as_str)),
        application: hash(record.application.as_ref().map(ApplicationId::as_str)),
        hold: record.hold,
    }
}

/// Fits a demand model to each pool in the requests of `options.history` that has enough of them.
///
/// # Errors
/// [`HistoryError`] if a file cannot be read.
pub fn fit_pools(
    options: &PoolFitOptions,
) -> Result<BTreeMap<PoolName, DemandModel>, HistoryError> {
    let files = request_files(&options.history)?;
    if files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let paths = HistoryPaths::expand(&files)?;
    let Busiest { mut studies, begin } = busiest(&paths, options)?;
    let mut next_tick = None;
    for record in requests(&paths, options.until)? {
        let record = record?;
        if record.at < begin {
            continue;
        }
        let due = next_tick.get_or_insert(record.at);
        while *due <= record.at {
            for study in studies.values_mut() {
                study.tick(*due);
            }
            *due = *due + options.tick;
        }
        if let Some(study) = studies.get_mut(&record.pool) {
            study.observe(&arrival_of(&record));
        }
    }
    let fitted = studies
        .into_iter()
        .filter_map(|(pool, study)| Some((pool, study.fit(options.seed)?)));
    Ok(fitted.collect())
}

/// The files of requests among these files, folders and globs.
///
/// # Errors
/// [`HistoryError`] if a file cannot be read.
pub fn request_files(history: &[PathBuf]) -> Result<Vec<PathBuf>, HistoryError> {
    let mut files = HistoryPaths::expand(history)?.files().to_vec();
    let mut failure = None;
    files.retain(|file| match HistoryKind::of_file(file) {
        Ok(kind) => kind == HistoryKind::Requests,
        Err(error) => {
            failure.get_or_insert(error);
            false
        }
    });
    failure.map_or(Ok(files), Err)
}

/// The requests before `until`, in the order of their time.
fn requests(
    paths: &HistoryPaths,
    until: Option<Timestamp>,
) -> Result<impl Iterator<Item = Result<RequestRecord, HistoryError>>, HistoryError> {
    let before = move |record: &Result<RequestRecord, HistoryError>| match record {
        Ok(record) => until.is_none_or(|until| record.at < until),
        Err(_) => true,
    };
    Ok(RequestReader::open(paths)?.take_while(before))
}

/// A study for each of the pools with the most requests.
struct Busiest {
    studies: BTreeMap<PoolName, DemandStudy>,
    /// Requests before are too long ago to be looked at, or strays.
    begin: Timestamp,
}

fn busiest(paths: &HistoryPaths, options: &PoolFitOptions) -> Result<Busiest, HistoryError> {
    let mut counts: BTreeMap<PoolName, u64> = BTreeMap::new();
    let mut last = Timestamp::MIN;
    for record in requests(paths, options.until)? {
        let record = record?;
        last = last.max(record.at);
        *counts.entry(record.pool).or_default() += 1;
    }
    let mut pools: Vec<(PoolName, u64)> = counts.into_iter().collect();
    pools.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    let study = |(pool, _)| (pool, DemandStudy::new(options.startup, options.tick));
    Ok(Busiest {
        studies: pools.into_iter().take(MOST_POOLS).map(study).collect(),
        begin: last - options.tick.saturating_mul(MOST_TICKS),
    })
}

/// Writes demand models into `dir`, beside the model whose `manifest` then lists them.
///
/// # Errors
/// [`ModelError`] if a file cannot be written.
pub fn save_pools(
    dir: &Path,
    manifest: &mut Manifest,
    models: &BTreeMap<PoolName, DemandModel>,
) -> Result<(), ModelError> {
    manifest.pools.clear();
    for (number, (pool, model)) in models.iter().enumerate() {
        let file = Path::new(FOLDER).join(format!("{number:04}.demand"));
        let path = dir.join(&file);
        files::write_atomically(&path, &model.to_bytes())
            .map_err(|source| ModelError::File { path, source })?;
        manifest.pools.push(PoolEntry {
            pool: pool.to_string(),
            file,
            startup_s: model.startup_ms() as f64 / 1e3,
            tick_s: model.tick_ms() as f64 / 1e3,
            trained_through: model.trained_through().to_string(),
            trees: model.trees(),
            gain: model.gain(),
        });
    }
    rewrite_manifest(dir, manifest)
}

/// Reads the demand models that `manifest` lists.
///
/// # Errors
/// [`ModelError`] names the file that is missing, damaged or of another version.
pub fn load_pools(
    dir: &Path,
    manifest: &Manifest,
) -> Result<BTreeMap<PoolName, DemandModel>, ModelError> {
    let mut models = BTreeMap::new();
    for entry in &manifest.pools {
        let path = dir.join(&entry.file);
        let pool = PoolName::new(&entry.pool).map_err(|error| ModelError::Manifest {
            path: dir.join(crate::model::MANIFEST),
            reason: format!("pool `{}`: {error}", entry.pool),
        })?;
        let bytes = fs::read(&path).map_err(|source| ModelError::File {
            path: path.clone(),
            source,
        })?;
        let model = DemandModel::from_bytes(&bytes)
            .map_err(|source| ModelError::Demand { path, source })?;
        models.insert(pool, model);
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use foreshadow_history::RequestWriter;

    use super::*;

    const TICK_MS: i64 = 60_000;

    /// Two days of a pool that is busy by day, and three requests of another.
    fn history(folder: &Path) -> PathBuf {
        let path = folder.join("requests.parquet");
        let mut writer = RequestWriter::create(&path).unwrap();
        for minute in 0..2 * 1440_i64 {
            let busy = (480..1200).contains(&(minute % 1440));
            if busy || minute % 20 == 0 {
                writer
                    .write(&request(minute * TICK_MS + 7, "busy"))
                    .unwrap();
            }
            if minute % 1000 == 999 {
                writer
                    .write(&request(minute * TICK_MS + 9, "quiet"))
                    .unwrap();
            }
        }
        writer.finish().unwrap();
        path
    }

    fn request(at_ms: i64, pool: &str) -> RequestRecord {
        RequestRecord {
            at: Timestamp::from_millis(at_ms),
            user: None,
            application: None,
            pool: PoolName::new(pool).unwrap(),
            hold: None,
            vcpus: None,
            memory: None,
            merge_key: None,
        }
    }

    fn options(history: PathBuf, until: Option<Timestamp>) -> PoolFitOptions {
        PoolFitOptions {
            history: vec![history],
            until,
            startup: Duration::from_mins(2),
            tick: Duration::from_mins(1),
            seed: 1,
        }
    }

    #[test]
    fn a_pool_with_enough_requests_gets_a_model_of_what_came_before() {
        let folder = tempfile::tempdir().unwrap();
        let until = Timestamp::from_millis(1800 * TICK_MS);
        let models = fit_pools(&options(history(folder.path()), Some(until))).unwrap();
        let names: Vec<&str> = models.keys().map(PoolName::as_str).collect();
        assert_eq!(names, ["busy"]);
        let model = &models[&PoolName::new("busy").unwrap()];
        assert!(model.trained_through() < until);
        assert_eq!((model.startup_ms(), model.tick_ms()), (120_000, 60_000));
        assert!(model.trees() > 0, "the time of day tells something");
    }

    #[test]
    fn models_are_listed_read_back_and_refused_by_file_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let models = fit_pools(&options(history(folder.path()), None)).unwrap();
        let mut manifest = crate::manifest::blank();
        save_pools(folder.path(), &mut manifest, &models).unwrap();
        assert_eq!(manifest.pools[0].pool, "busy");
        assert_eq!(load_pools(folder.path(), &manifest).unwrap(), models);

        let file = folder.path().join(&manifest.pools[0].file);
        let mut bytes = fs::read(&file).unwrap();
        bytes.truncate(bytes.len() / 2);
        fs::write(&file, bytes).unwrap();
        let error = load_pools(folder.path(), &manifest)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("0000.demand") && error.contains("damaged"),
            "{error}"
        );
        fs::remove_file(&file).unwrap();
        assert!(load_pools(folder.path(), &manifest).is_err());
    }

    #[test]
    fn usage_alone_gives_no_pool_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.parquet");
        foreshadow_history::UsageWriter::create(&path, &["cpu"])
            .unwrap()
            .finish()
            .unwrap();
        assert!(fit_pools(&options(path, None)).unwrap().is_empty());
    }
}
