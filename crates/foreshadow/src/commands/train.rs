//! `foreshadow train`: fits the model on usage or request history.

mod bars;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_engine::PRETRAINED;
use foreshadow_forecast::Panel;
use foreshadow_lstm::Compute;
use foreshadow_training::{
    DatasetOptions, LoadedModel, Manifest, ModelError, PoolFitOptions, TrainError, TrainOptions,
    fit_pools, load_dataset, load_model, pretrained, save_pools, train,
};
use foreshadow_types::{Timestamp, parse_duration};

use crate::{device::Device, failure::Failure, format::Format};
use bars::Bars;

/// Arguments of `foreshadow train`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Usage or request history: Parquet files, folders or globs.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    history: Vec<PathBuf>,
    /// Metrics to learn, all by default.
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    metrics: Option<Vec<String>>,
    /// Width of a bin.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    interval: Duration,
    /// Use only history before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    until: Option<Timestamp>,
    /// Fit the demand model of each pool of a request history too, for `backtest --model`: how long
    /// an instance takes to start.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    startup: Option<Duration>,
    /// The time between two plans, for those models.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    tick: Duration,
    /// Whose weights to begin with: a folder that was trained, `pretrained`, or nobody's: `fresh`. Unless
    /// given, `pretrained` if what it was trained on ends before this history does.
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    device: Device,
    /// The seed of all chance.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Longest training time in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(1..))]
    max_seconds: u64,
    /// Folder of the model; an interrupted run with the same arguments goes on from there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How to print the manifest.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Args {
    /// To learn request counts at a tick of `interval` for at most `longest`, without printing.
    pub(crate) fn for_requests(
        history: &Path,
        interval: Duration,
        longest: Duration,
        out: &Path,
    ) -> Self {
        Self {
            history: vec![history.to_owned()],
            metrics: None,
            interval,
            until: None,
            startup: None,
            tick: Duration::from_mins(1),
            from: None,
            device: Device::Cpu,
            seed: 0,
            max_seconds: longest.as_secs().max(1),
            out: out.to_owned(),
            format: Format::Text,
        }
    }

    fn dataset(&self) -> DatasetOptions {
        DatasetOptions {
            history: self.history.clone(),
            metrics: self.metrics.clone(),
            interval: self.interval,
            until: self.until,
            seed: self.seed,
        }
    }

    fn pools(&self) -> Option<PoolFitOptions> {
        Some(PoolFitOptions {
            history: self.history.clone(),
            until: self.until,
            startup: self.startup?,
            tick: self.tick,
            seed: self.seed,
        })
    }

    fn options(&self, panel: &Panel) -> Result<TrainOptions, Failure> {
        let from = self.begun_with(panel).transpose();
        let from = from.map_err(|error| Failure::bad_input(format!("--from: {error}")))?;
        Ok(TrainOptions {
            seed: self.seed,
            longest: Duration::from_secs(self.max_seconds),
            from,
            ..TrainOptions::default()
        })
    }

    /// The model whose weights are begun with.
    fn begun_with(&self, panel: &Panel) -> Option<Result<(String, LoadedModel), ModelError>> {
        let named = |model| (PRETRAINED.to_owned(), model);
        let Some(from) = self.from.as_deref() else {
            // A model that had seen what comes after this history could not be measured there.
            let end = panel.bin_start(panel.bins().saturating_sub(1));
            let earlier = |model: &LoadedModel| model.trained_through < end;
            return pretrained().ok().filter(earlier).map(named).map(Ok);
        };
        match from.to_str() {
            Some("fresh") => None,
            Some(PRETRAINED) => Some(pretrained().map(named)),
            _ => {
                let name = from.display().to_string();
                Some(load_model(from).map(|model| (name, model)))
            }
        }
    }

    fn compute(&self) -> Result<Compute, Failure> {
        let (compute, fallback) = self.device.compute("--device")?;
        if let Some(reason) = fallback {
            eprintln!("training on the cpu: {reason}");
        }
        Ok(compute)
    }
}

/// Runs the command.
#[expect(
    clippy::needless_pass_by_value,
    reason = "every command takes its arguments"
)]
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    if args.tick < Duration::from_millis(1) {
        return Err(Failure::bad_input("--tick: the shortest tick is 1ms"));
    }
    let bars = Bars::start();
    let compute = args.compute()?;
    let panel = load_dataset(&args.dataset()).map_err(Failure::bad_input)?;
    let options = args.options(&panel)?;
    let begun_with = options.from.as_ref().map(|(name, _)| name.as_str());
    let mut bars = bars.training(&panel, begun_with, compute.name());
    let mut manifest = train(&panel, &options, &compute, &args.out, &mut bars).map_err(failure)?;
    bars.finish();
    if let Some(options) = args.pools() {
        let pools = fit_pools(&options).map_err(Failure::bad_input)?;
        save_pools(&args.out, &mut manifest, &pools).map_err(Failure::bad_input)?;
    }
    print(&manifest, &args)
}

fn failure(error: TrainError) -> Failure {
    match error {
        TrainError::Data(_) | TrainError::Checkpoint { .. } | TrainError::Model(_) => {
            Failure::bad_input(error)
        }
        TrainError::Network(_) | TrainError::Validation(_) => error.into(),
    }
}

fn print(manifest: &Manifest, args: &Args) -> Result<(), Failure> {
    if args.format == Format::Json {
        println!("{}", serde_json::to_string_pretty(manifest)?);
        return Ok(());
    }
    println!(
        "{}: {} series, {} weights, {} steps in {:.0} s, trained through {}",
        args.out.display(),
        manifest.series,
        manifest.parameters,
        manifest.steps,
        manifest.training_seconds,
        manifest.trained_through,
    );
    println!(
        "{:<16} {:>8} {:>8} {:>8} {:>12}",
        "validation", "CRPS", "MASE", "WAPE", "80 % covers"
    );
    let cell =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    for measured in &manifest.validation.models {
        println!(
            "{:<16} {:>8} {:>8} {:>8} {:>12}",
            measured.model,
            cell(measured.crps),
            cell(measured.mase),
            cell(measured.wape),
            cell(measured.coverage_80)
        );
    }
    for pool in &manifest.pools {
        println!(
            "pool {}: {} trees, {:.3} gained a held-out hit, start-up {} s, tick {} s",
            pool.pool, pool.trees, pool.gain, pool.startup_s, pool.tick_s
        );
    }
    Ok(())
}
