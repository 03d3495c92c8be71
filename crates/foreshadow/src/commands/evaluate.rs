//! `foreshadow evaluate`.

mod dump;
mod table;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_forecast::{EvaluationError, ForecastError, Panel, Protocol};
use foreshadow_history::{DEFAULT_MAX_VALUES, HistoryPaths, PanelLimits, PanelOptions, load_panel};
use foreshadow_training::{
    Candidate, EvaluateError, EvaluateOptions, EvaluationReport, ModelName, evaluate,
};
use foreshadow_types::parse_duration;

use crate::{
    clock,
    device::Device,
    failure::Failure,
    format::{Format, print},
};
use dump::ForecastDump;

/// Values that are evaluated at once. Nothing is sampled, so more than this is refused.
const MAX_VALUES: usize = 8 * DEFAULT_MAX_VALUES;

/// Arguments of `foreshadow evaluate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Usage or request history: Parquet files, folders or globs.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    history: Vec<PathBuf>,
    /// The metrics; all unless given. Request counts are the metric `requests`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    metrics: Option<Vec<String>>,
    /// The width of a bin.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    interval: Duration,
    /// Bins of a window.
    #[arg(long, value_name = "BINS", default_value_t = 48)]
    horizon: usize,
    /// Windows at the end of the history.
    #[arg(long, value_name = "COUNT", default_value_t = 18)]
    windows: usize,
    /// Bins of a season; a day unless given.
    #[arg(long, value_name = "BINS")]
    season: Option<usize>,
    /// What to measure: folders that `train` wrote, seasonal-naive, naive, ets, mstl, prophet,
    /// pretrained (the one that every build holds), and auto, which takes for each series the one of the others that did best lately.
    #[arg(
        long,
        value_name = "MODELS",
        value_delimiter = ',',
        default_value = "seasonal-naive,naive,ets"
    )]
    models: Vec<ModelName>,
    /// Measure models on windows that they were trained on.
    #[arg(long)]
    allow_leak: bool,
    /// Move quantiles as serving does: by how earlier forecasts came true.
    #[arg(long)]
    calibrate: bool,
    /// Write every forecast to a Parquet file: model, entity, metric, origin (the start of the first
    /// bin forecast), step (from 0), quantiles and what came true.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Where networks are computed.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every command takes its arguments"
)]
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let protocol = Protocol {
        horizon: args.horizon,
        windows: args.windows,
        season: args.season.unwrap_or_else(|| day(args.interval)),
    };
    let (compute, fallback) = args.device.compute("--device")?;
    if let Some(reason) = fallback {
        eprintln!("networks are computed on the cpu: {reason}");
    }
    let candidates = Candidate::load_all(&args.models, protocol.season, &compute);
    let mut candidates = candidates.map_err(Failure::bad_input)?;
    let panel = load(&args)?;
    let options = EvaluateOptions {
        protocol,
        allow_leak: args.allow_leak,
        calibrate: args.calibrate,
    };
    let report = measure(&panel, &mut candidates, options, args.dump.as_deref())?;
    show(&report, args.format)
}

/// How many bins make a day, at least one.
fn day(interval: Duration) -> usize {
    let day = Duration::from_hours(24).as_millis();
    usize::try_from(day / interval.as_millis().max(1)).map_or(1, |bins| bins.max(1))
}

fn load(args: &Args) -> Result<Panel, Failure> {
    let paths = HistoryPaths::expand(&args.history).map_err(Failure::bad_input)?;
    let options = PanelOptions {
        metrics: args.metrics.clone(),
        interval: args.interval,
        until: None,
        limits: PanelLimits::Refuse {
            max_values: MAX_VALUES,
        },
    };
    load_panel(&paths, &options).map_err(Failure::bad_input)
}

fn measure(
    panel: &Panel,
    candidates: &mut [Candidate],
    options: EvaluateOptions,
    dump: Option<&Path>,
) -> Result<EvaluationReport, Failure> {
    let mut dump = dump
        .map(ForecastDump::create)
        .transpose()
        .map_err(|error| Failure::bad_input(format!("--dump: {error}")))?;
    let start = clock::now();
    let elapsed = || clock::now().since(start);
    let report = evaluate(
        panel,
        candidates,
        options,
        &elapsed,
        &mut |model, scored| match &mut dump {
            Some(dump) => Ok(dump.write(panel, model, scored)?),
            None => Ok(()),
        },
    )
    .map_err(failure)?;
    if let Some(dump) = dump {
        dump.finish()?;
    }
    Ok(report)
}

/// A history that is too short or a model that does not fit it is the input's fault.
fn failure(error: EvaluateError) -> Failure {
    match &error {
        EvaluateError::Dump(_)
        | EvaluateError::Evaluation(
            EvaluationError::Unusable { .. }
            | EvaluationError::Model {
                source: ForecastError::Failed(_),
                ..
            },
        ) => Failure::Failed(error.into()),
        EvaluateError::Leak { .. } | EvaluateError::Evaluation(_) => Failure::bad_input(error),
    }
}

fn show(report: &EvaluationReport, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print(&format!("{}\n", serde_json::to_string(report)?)),
        Format::Text => print(&table::render(report)),
    }
}
