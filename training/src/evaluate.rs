//! Measuring models beside the baselines on history they have not seen.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use foreshadow_classical::{Ets, Mstl, Prophet};
use foreshadow_forecast::{
    Accuracy, Auto, Calibrated, EVALUATION_LEVELS, Evaluation, EvaluationError, Forecaster, Naive,
    PLANNING_LEVELS, Panel, Protocol, Scored, SeasonalNaive,
};
use foreshadow_lstm::Compute;
use foreshadow_types::Timestamp;
use serde::Serialize;
use thiserror::Error;

use crate::model::{LoadedModel, ModelError, load_model, pretrained};

/// A model as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelName {
    /// The last value.
    Naive,
    /// The value one season before.
    SeasonalNaive,
    /// Exponential smoothing.
    Ets,
    /// Seasonal decomposition and exponential smoothing.
    Mstl,
    /// A piecewise linear trend with seasons of the calendar.
    Prophet,
    /// For each series the one of the others that did best lately.
    Auto,
    /// The one that every build holds.
    Pretrained,
    /// A folder with a trained model.
    Trained(PathBuf),
}

/// A text that names no model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no model: it is neither naive, seasonal-naive, ets, mstl, prophet, pretrained or auto nor a folder \
     that `foreshadow train` wrote"
)]
pub struct ModelNameError(String);

impl FromStr for ModelName {
    type Err = ModelNameError;

    fn from_str(text: &str) -> Result<Self, ModelNameError> {
        match text {
            "naive" => Ok(Self::Naive),
            "seasonal-naive" => Ok(Self::SeasonalNaive),
            "ets" => Ok(Self::Ets),
            "mstl" => Ok(Self::Mstl),
            "prophet" => Ok(Self::Prophet),
            "auto" => Ok(Self::Auto),
            "pretrained" => Ok(Self::Pretrained),
            folder if Path::new(folder).is_dir() => Ok(Self::Trained(folder.into())),
            _ => Err(ModelNameError(text.to_owned())),
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Naive => f.write_str("naive"),
            Self::SeasonalNaive => f.write_str("seasonal-naive"),
            Self::Ets => f.write_str("ets"),
            Self::Mstl => f.write_str("mstl"),
            Self::Prophet => f.write_str("prophet"),
            Self::Auto => f.write_str("auto"),
            Self::Pretrained => f.write_str("pretrained"),
            Self::Trained(folder) => folder.display().fmt(f),
        }
    }
}

/// A model ready to forecast.
pub struct Candidate {
    /// Its name in the report.
    pub name: String,
    /// The model.
    pub model: CandidateModel,
    /// The start of the last bin it was trained on; `None` for models that are not trained.
    pub trained_through: Option<Timestamp>,
}

/// One model, or the best of several for each series.
pub enum CandidateModel {
    /// One.
    One(Box<dyn Forecaster>),
    /// The best of several lately.
    Best(Auto),
}

impl CandidateModel {
    fn forecaster(&mut self) -> &mut dyn Forecaster {
        match self {
            Self::One(model) => model.as_mut(),
            Self::Best(auto) => auto,
        }
    }

    /// The share of forecasts that each of several models gave.
    fn chosen(&self) -> Option<BTreeMap<String, f64>> {
        let Self::Best(auto) = self else { return None };
        let shares = auto.shares().map(|(name, share)| (name.to_owned(), share));
        Some(shares.collect())
    }
}

impl Candidate {
    /// The models of these names in their order; `auto` chooses among the others. Networks are computed
    /// there.
    ///
    /// # Errors
    /// [`ModelError`] if a folder does not hold a model that can be read.
    pub fn load_all(
        names: &[ModelName],
        season: usize,
        compute: &Compute,
    ) -> Result<Vec<Self>, ModelError> {
        let load = |name| Self::load(name, names, (season, compute));
        names.iter().map(load).collect()
    }

    fn load(name: &ModelName, all: &[ModelName], with: With<'_>) -> Result<Self, ModelError> {
        let (model, trained_through) = match name {
            ModelName::Auto => best_of(all, with)?,
            name => {
                let (model, trained_through) = one(name, with)?;
                (CandidateModel::One(model), trained_through)
            }
        };
        Ok(Self {
            name: name.to_string(),
            model,
            trained_through,
        })
    }
}

/// Bins of a season, and where networks are computed.
type With<'a> = (usize, &'a Compute);

/// A model and the start of the last bin it was trained on.
type Loaded<M> = (M, Option<Timestamp>);

/// For each series the one of the models named that did best lately; the last value if there is none.
fn best_of(names: &[ModelName], with: With<'_>) -> Result<Loaded<CandidateModel>, ModelError> {
    let mut models = Vec::new();
    let mut latest = None;
    for name in names.iter().filter(|name| **name != ModelName::Auto) {
        let (model, trained_through) = one(name, with)?;
        latest = latest.max(trained_through);
        models.push((name.to_string(), model));
    }
    if models.is_empty() {
        models.push((ModelName::Naive.to_string(), Box::new(Naive)));
    }
    Ok((CandidateModel::Best(Auto::new(models)), latest))
}

/// The model of this name, read from its folder if it is a trained one.
fn one(
    name: &ModelName,
    (season, compute): With<'_>,
) -> Result<Loaded<Box<dyn Forecaster>>, ModelError> {
    Ok(match name {
        ModelName::Naive | ModelName::Auto => (Box::new(Naive), None),
        ModelName::SeasonalNaive => (Box::new(SeasonalNaive::new(season)), None),
        ModelName::Ets => (Box::new(Ets), None),
        ModelName::Mstl => (Box::new(Mstl::new(season)), None),
        ModelName::Prophet => (Box::new(Prophet), None),
        ModelName::Pretrained => trained(pretrained()?, compute),
        ModelName::Trained(folder) => trained(load_model(folder)?, compute),
    })
}

fn trained(model: LoadedModel, compute: &Compute) -> Loaded<Box<dyn Forecaster>> {
    let model = model.on(compute);
    let forecaster = Box::new(model.forecaster());
    (forecaster, Some(model.trained_through))
}

/// The measures of all models, in the order they were given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// How they were measured.
    pub protocol: ProtocolReport,
    /// One row for each model.
    pub models: Vec<ModelReport>,
}

/// How models were measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProtocolReport {
    /// The width of a bin, in seconds.
    pub interval_s: f64,
    /// Bins of a window.
    pub horizon: usize,
    /// Windows.
    pub windows: usize,
    /// Bins of a season.
    pub season: usize,
    /// Series.
    pub series: usize,
    /// The start of the first window, RFC 3339.
    pub from: String,
}

/// The measures of one model; a measure that nothing contributes to is null.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    /// As it was named.
    pub model: String,
    /// Mean absolute scaled error of the median.
    pub mase: f64,
    /// Mean weighted quantile loss.
    pub crps: f64,
    /// Weighted absolute percentage error of the median, as a share.
    pub wape: f64,
    /// Share of values between the 0.1 and 0.9 quantiles.
    pub coverage_80: f64,
    /// Share of values at or below the quantile of each level, the tails that pools are sized with among
    /// them.
    pub coverage: BTreeMap<String, f64>,
    /// Mean pinball loss at each level.
    pub pinball: BTreeMap<String, f64>,
    /// Time spent on forecasting.
    pub seconds: f64,
    /// Forecasts made: series × windows.
    pub forecasts: u64,
    /// Of `auto`, the share of its forecasts that each model gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<BTreeMap<String, f64>>,
}

/// Why models could not be measured.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The protocol does not fit the history, or a model failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// A model has seen the windows.
    #[error(
        "{model} was trained through {trained_through}, but the first window starts at {from}; \
         train it `--until` then, or pass --allow-leak"
    )]
    Leak {
        /// The model.
        model: String,
        /// The start of the last bin it was trained on.
        trained_through: Timestamp,
        /// The start of the first window.
        from: Timestamp,
    },
    /// A forecast could not be written down.
    #[error(transparent)]
    Dump(#[from] foreshadow_history::HistoryError),
}

/// How [`evaluate`] is run.
#[derive(Debug, Clone, Copy)]
pub struct EvaluateOptions {
    /// The windows.
    pub protocol: Protocol,
    /// Whether a model may have been trained on the windows.
    pub allow_leak: bool,
    /// Whether quantiles are moved as serving moves them: by how earlier forecasts came true.
    pub calibrate: bool,
}

/// Measures every candidate on the last windows of the panel.
///
/// `elapsed` tells the time since any fixed moment; `sink` sees every forecast with the name of its
/// model.
///
/// # Errors
/// [`EvaluateError`] if the history is too short, a model has seen the windows or fails, or `sink`
/// fails.
pub fn evaluate(
    panel: &Panel,
    candidates: &mut [Candidate],
    options: EvaluateOptions,
    elapsed: &dyn Fn() -> Duration,
    sink: &mut dyn FnMut(&str, &Scored<'_>) -> Result<(), EvaluateError>,
) -> Result<EvaluationReport, EvaluateError> {
    let evaluation = Evaluation::new(panel, options.protocol)?.at_levels(&PLANNING_LEVELS);
    let first = evaluation.origins().first().copied().unwrap_or_default();
    let from = panel.bin_start(first);
    if !options.allow_leak {
        candidates
            .iter()
            .try_for_each(|candidate| refuse_leak(candidate, from))?;
    }
    let mut models = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let name = candidate.name.clone();
        let before = elapsed();
        let model = candidate.model.forecaster();
        let sink = |scored: &Scored<'_>| sink(&name, scored);
        let sums = if options.calibrate {
            evaluation.score(&mut Calibrated::new(model), sink)?
        } else {
            evaluation.score(model, sink)?
        };
        let spent = elapsed().saturating_sub(before);
        let chosen = candidate.model.chosen();
        models.push(ModelReport {
            chosen,
            ..ModelReport::new(name, &sums.accuracy(), spent)
        });
    }
    Ok(EvaluationReport {
        protocol: ProtocolReport {
            interval_s: panel.interval().as_secs_f64(),
            horizon: options.protocol.horizon,
            windows: options.protocol.windows,
            season: options.protocol.season,
            series: panel.ids().len(),
            from: from.to_string(),
        },
        models,
    })
}

fn refuse_leak(candidate: &Candidate, from: Timestamp) -> Result<(), EvaluateError> {
    match candidate.trained_through {
        Some(trained_through) if trained_through >= from => Err(EvaluateError::Leak {
            model: candidate.name.clone(),
            trained_through,
            from,
        }),
        _ => Ok(()),
    }
}

impl ModelReport {
    fn new(model: String, accuracy: &Accuracy, spent: Duration) -> Self {
        let pinball = EVALUATION_LEVELS.iter().zip(&accuracy.pinball);
        Self {
            model,
            mase: accuracy.mase,
            crps: accuracy.crps,
            wape: accuracy.wape,
            coverage_80: accuracy.coverage_80,
            coverage: accuracy
                .coverage
                .iter()
                .map(|(level, share)| (level.to_string(), *share))
                .collect(),
            pinball: pinball
                .map(|(level, loss)| (level.to_string(), *loss))
                .collect(),
            seconds: spent.as_secs_f64(),
            forecasts: accuracy.forecasts,
            chosen: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_forecast::SeriesId;
    use foreshadow_types::EntityId;

    use super::*;

    fn panel() -> Panel {
        let id = SeriesId::of_entity(EntityId::new("vm").unwrap(), "load".to_owned());
        let values: Vec<f32> = (0..40).map(|bin| (bin % 4) as f32).collect();
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        Panel::new(start, Duration::from_mins(5), vec![id], 40, values)
    }

    fn run(
        candidates: &mut [Candidate],
        allow_leak: bool,
    ) -> Result<EvaluationReport, EvaluateError> {
        let protocol = Protocol {
            horizon: 4,
            windows: 2,
            season: 4,
        };
        let options = EvaluateOptions {
            protocol,
            allow_leak,
            calibrate: false,
        };
        evaluate(
            &panel(),
            candidates,
            options,
            &|| Duration::ZERO,
            &mut |_, _| Ok(()),
        )
    }

    fn load(name: ModelName) -> Candidate {
        Candidate::load_all(&[name], 4, &Compute::cpu())
            .unwrap()
            .remove(0)
    }

    fn naive(trained_through: Option<&str>) -> Candidate {
        Candidate {
            trained_through: trained_through.map(|time| Timestamp::parse(time).unwrap()),
            ..load(ModelName::Naive)
        }
    }

    #[test]
    fn the_report_has_the_keys_that_others_read() {
        let seasonal = load(ModelName::SeasonalNaive);
        let report = run(&mut [seasonal, naive(None)], false).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["protocol"]["interval_s"], 300.0);
        assert_eq!(json["protocol"]["from"], "2026-01-01T02:40:00Z");
        assert_eq!(json["models"][0]["model"], "seasonal-naive");
        assert_eq!(json["models"][0]["crps"], 0.0);
        assert_eq!(json["models"][0]["mase"], serde_json::Value::Null);
        assert_eq!(json["models"][1]["forecasts"], 2);
        assert_eq!(json["models"][1]["pinball"]["0.5"], 0.75);
        assert_eq!(json["models"][0]["coverage"]["0.99"], 1.0);
        // The last value is 3 and the largest: nothing lies above it.
        assert_eq!(json["models"][1]["coverage"]["0.95"], 1.0);
        let keys: Vec<_> = json["models"][0]["pinball"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(
            keys,
            [
                "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"
            ]
        );
    }

    #[test]
    fn a_model_that_has_seen_the_windows_is_refused() {
        let before = "2026-01-01T02:35:00Z";
        let within = "2026-01-01T02:40:00Z";
        assert!(run(&mut [naive(Some(before))], false).is_ok());
        let refused = run(&mut [naive(Some(within))], false);
        assert!(matches!(refused, Err(EvaluateError::Leak { .. })));
        assert!(run(&mut [naive(Some(within))], true).is_ok());
    }

    #[test]
    fn auto_chooses_among_the_others_and_says_whom() {
        let names = [ModelName::Auto, ModelName::Naive, ModelName::SeasonalNaive];
        let mut candidates = Candidate::load_all(&names, 4, &Compute::cpu()).unwrap();
        let report = run(&mut candidates, false).unwrap();
        assert_eq!(report.models[0].model, "auto");
        let chosen = report.models[0].chosen.as_ref().unwrap();
        let names: Vec<_> = chosen.keys().map(String::as_str).collect();
        assert_eq!(names, ["naive", "seasonal-naive"]);
        assert_eq!(report.models[1].chosen, None);
    }

    #[test]
    fn a_name_that_is_no_model_says_which_there_are() {
        assert_eq!("ets".parse(), Ok(ModelName::Ets));
        assert_eq!("auto".parse(), Ok(ModelName::Auto));
        let error = "no-such-model".parse::<ModelName>().unwrap_err();
        assert!(error.to_string().contains("seasonal-naive"));
        assert_eq!("prophet".parse(), Ok(ModelName::Prophet));
    }
}
