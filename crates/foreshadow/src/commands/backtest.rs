//! `foreshadow backtest`: a request log replayed under each pool policy.

mod host;
mod json;
mod model;
mod read;
mod report;
mod table;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::ValueEnum;
use foreshadow_simulation::backtest::{
    BacktestOptions, PolicyKind, Setting, StartupTime, Trace, run_backtest,
};
use foreshadow_types::{Timestamp, parse_duration};

use crate::failure::Failure;
use host::Host;
use report::Levels;

/// The largest spread of start-up times that is accepted: at 3, one start in twenty takes more than
/// a hundred times the median.
const LARGEST_SIGMA: f64 = 3.0;

/// The longest start-up time that is accepted.
const LONGEST_STARTUP: Duration = Duration::from_hours(24);

/// The seed of start-up times.
const STARTUP_SEED: u64 = 0x5eed;

/// Arguments of `foreshadow backtest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Request history: Parquet files, folders or globs.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    requests: Vec<PathBuf>,
    /// Score from this time (RFC 3339) to the end.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, conflicts_with = "train_fraction")]
    from: Option<Timestamp>,
    /// Score what follows this share of the log's time.
    #[arg(long, value_name = "SHARE", default_value_t = 0.6)]
    train_fraction: f64,
    /// How long an instance takes to start.
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = parse_duration)]
    startup: Duration,
    /// Standard deviation of the logarithm of start-up times; 0 means all are equal.
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0)]
    startup_sigma: f64,
    /// The time between two plans.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    tick: Duration,
    /// The hit rates to aim at.
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        default_value = "0.9,0.95,0.99"
    )]
    hit_rates: Vec<f64>,
    /// The policies to replay; all unless given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policies: Vec<PolicyKind>,
    /// A model trained on request history, which must not have seen what is scored: planners take it
    /// up once the requests that it was trained on are past.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Write an HTML page with the curves into this folder.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Write each tick of each replay to this Parquet file.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    check(&args)?;
    let trace = read::trace(&args.requests)?;
    let setting = setting(&args, &trace)?;
    let models = match &args.model {
        Some(dir) => model::load(dir, &setting)?,
        None => BTreeMap::new(),
    };
    let options = BacktestOptions {
        policies: policies(&args),
        hit_rates: args.hit_rates,
        curves: args.report.is_some(),
    };
    let levels = args
        .report
        .as_ref()
        .and_then(|_| levels(&options, &trace, &setting));
    let mut host = Host::new(&setting, models, args.dump.as_deref(), levels)?;
    let result = run_backtest(&trace, &setting, &options, &mut host);
    let levels = host.finish()?;
    if let (Some(dir), Some(levels)) = (&args.report, levels) {
        report::write(dir, &result, &levels)?;
    }
    match args.format {
        Format::Text => print!("{}", table::render(&result)),
        Format::Json => println!("{}", json::render(&result)?),
    }
    Ok(())
}

/// What the argument parser does not check by itself.
fn check(args: &Args) -> Result<(), Failure> {
    let bad = |flag: &str, reason: String| Err(Failure::bad_input(format!("{flag}: {reason}")));
    if !(0.0..1.0).contains(&args.train_fraction) {
        let given = args.train_fraction;
        return bad(
            "--train-fraction",
            format!("{given} is not at least 0 and below 1"),
        );
    }
    if !(0.0..=LARGEST_SIGMA).contains(&args.startup_sigma) {
        let given = args.startup_sigma;
        return bad(
            "--startup-sigma",
            format!("{given} is not between 0 and {LARGEST_SIGMA}"),
        );
    }
    if args.startup > LONGEST_STARTUP {
        return bad("--startup", "the longest start-up time is 24h".to_owned());
    }
    if args.tick < Duration::from_millis(1) {
        return bad("--tick", "the shortest tick is 1ms".to_owned());
    }
    if let Some(rate) = args
        .hit_rates
        .iter()
        .find(|rate| !(**rate > 0.0 && **rate < 1.0))
    {
        return bad("--hit-rates", format!("{rate} is not above 0 and below 1"));
    }
    Ok(())
}

fn setting(args: &Args, trace: &Trace) -> Result<Setting, Failure> {
    let span_ms = trace.end().since(trace.start()).as_millis() as f64;
    let trained = Duration::from_millis((span_ms * args.train_fraction) as u64);
    let from = args.from.unwrap_or(trace.start() + trained);
    let startup = StartupTime::log_normal(args.startup, args.startup_sigma, STARTUP_SEED);
    Setting::new(trace, from, args.tick, startup).map_err(Failure::bad_input)
}

fn policies(args: &Args) -> Vec<PolicyKind> {
    if args.policies.is_empty() {
        PolicyKind::ALL.to_vec()
    } else {
        args.policies.clone()
    }
}

/// What the report follows over time: the first policy at the last target.
fn levels(options: &BacktestOptions, trace: &Trace, setting: &Setting) -> Option<Levels> {
    let policy = *options.policies.first()?;
    let hit_rate = *options.hit_rates.last()?;
    Levels::new(trace, setting, policy, hit_rate)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn checked(flags: &[&str]) -> Result<(), String> {
        let given = ["backtest", "--requests", "log.parquet"];
        let line =
            Line::try_parse_from(given.iter().chain(flags)).map_err(|error| error.to_string())?;
        match check(&line.args) {
            Ok(()) => Ok(()),
            Err(Failure::BadInput(reason)) => Err(reason),
            Err(Failure::Failed(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_bad_value_is_refused_by_the_name_of_its_flag() {
        assert_eq!(checked(&[]), Ok(()));
        for (flag, value) in [
            ("--train-fraction", "1"),
            ("--startup-sigma", "9"),
            ("--startup", "2d"),
            ("--tick", "0"),
            ("--hit-rates", "0.9,1"),
            ("--policies", "static,oracle"),
            ("--from", "yesterday"),
        ] {
            let reason = checked(&[flag, value]).unwrap_err();
            assert!(reason.contains(flag), "{flag}: {reason}");
        }
    }
}
