//! The arguments of `foreshadow backtest`.

use std::{
    fmt::Display,
    num::NonZeroU32,
    ops::{Range, RangeInclusive},
    path::PathBuf,
    time::Duration,
};

use foreshadow_simulation::backtest::{MOST_FAILURES, PolicyKind};
use foreshadow_types::{Timestamp, parse_duration};

use crate::{failure::Failure, format::Format};

/// The largest spread of start-up times that is accepted: at 3, one start in twenty takes more than
/// a hundred times the median.
const LARGEST_SIGMA: f64 = 3.0;

/// The longest start-up time that is accepted.
const LONGEST_STARTUP: Duration = Duration::from_hours(24);

/// Arguments of `foreshadow backtest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Request history: Parquet files, folders or globs.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub(super) requests: Vec<PathBuf>,
    /// Score from this time (RFC 3339) to the end.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse, conflicts_with = "train_fraction")]
    pub(super) from: Option<Timestamp>,
    /// Score what follows this share of the log's time.
    #[arg(long, value_name = "SHARE", default_value_t = 0.6)]
    pub(super) train_fraction: f64,
    /// How long an instance takes to start.
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = parse_duration)]
    pub(super) startup: Duration,
    /// Standard deviation of the logarithm of start-up times; 0 means all are equal.
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0)]
    pub(super) startup_sigma: f64,
    /// The share of starts that fail after their start-up time and are tried again.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(super) start_failures: f64,
    /// The most instances a pool holds, those in use included; requests beyond wait in order.
    #[arg(long, value_name = "COUNT")]
    pub(super) max_instances: Option<NonZeroU32>,
    /// The most requests that use an instance at a time, as `shareable` of a pool; needs `hold_ms` of
    /// each. Requests with the same `merge_key` share one whatever this says.
    #[arg(long, value_name = "COUNT", default_value_t = NonZeroU32::MIN)]
    pub(super) share: NonZeroU32,
    /// The time between two plans.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(super) tick: Duration,
    /// The hit rates to aim at.
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        default_value = "0.9,0.95,0.99"
    )]
    pub(super) hit_rates: Vec<f64>,
    /// What an idle instance costs an hour, in any currency.
    #[arg(long, value_name = "PRICE")]
    pub(super) idle_price: Option<f64>,
    /// What a request that waits costs an hour, in the same currency.
    #[arg(long, value_name = "PRICE")]
    pub(super) waiting_price: Option<f64>,
    /// The policies to replay; all unless given.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) policies: Vec<PolicyKind>,
    /// A model trained on request history, which must not have seen what is scored: planners take it
    /// up once the requests that it was trained on are past.
    #[arg(long, value_name = "DIR")]
    pub(super) model: Option<PathBuf>,
    /// Write an HTML page with the curves into this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) report: Option<PathBuf>,
    /// Write each tick of each replay to this Parquet file.
    #[arg(long, value_name = "FILE")]
    pub(super) dump: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

impl Args {
    /// What the argument parser does not check by itself.
    pub(super) fn check(&self) -> Result<(), Failure> {
        share("--train-fraction", self.train_fraction, 0.0..1.0)?;
        within("--startup-sigma", self.startup_sigma, 0.0..=LARGEST_SIGMA)?;
        within("--start-failures", self.start_failures, 0.0..=MOST_FAILURES)?;
        price("--idle-price", self.idle_price)?;
        price("--waiting-price", self.waiting_price)?;
        if self.startup > LONGEST_STARTUP {
            return bad("--startup", "the longest start-up time is 24h");
        }
        if self.tick < Duration::from_millis(1) {
            return bad("--tick", "the shortest tick is 1ms");
        }
        let outside = |rate: &&f64| !(**rate > 0.0 && **rate < 1.0);
        match self.hit_rates.iter().find(outside) {
            Some(rate) => bad("--hit-rates", format!("{rate} is not above 0 and below 1")),
            None => Ok(()),
        }
    }
}

fn bad(flag: &str, reason: impl Display) -> Result<(), Failure> {
    Err(Failure::bad_input(format!("{flag}: {reason}")))
}

fn share(flag: &str, given: f64, range: Range<f64>) -> Result<(), Failure> {
    if range.contains(&given) {
        return Ok(());
    }
    bad(
        flag,
        format!(
            "{given} is not at least {} and below {}",
            range.start, range.end
        ),
    )
}

fn within(flag: &str, given: f64, range: RangeInclusive<f64>) -> Result<(), Failure> {
    if range.contains(&given) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    bad(flag, format!("{given} is not between {least} and {most}"))
}

fn price(flag: &str, given: Option<f64>) -> Result<(), Failure> {
    match given {
        Some(price) if !(price.is_finite() && price >= 0.0) => bad(
            flag,
            format!("{price} is no price; give a number of at least 0"),
        ),
        Some(_) | None => Ok(()),
    }
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
        match line.args.check() {
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
            ("--start-failures", "1"),
            ("--max-instances", "0"),
            ("--share", "0"),
            ("--idle-price", "inf"),
            ("--waiting-price", "nan"),
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
