//! `foreshadow backtest`: a request log replayed under each pool policy.

mod args;
mod host;
mod json;
mod model;
mod read;
mod report;
mod table;

use std::{collections::BTreeMap, time::Duration};

use foreshadow_simulation::backtest::{
    BacktestOptions, PolicyKind, Prices, Setting, StartupTime, Trace, run_backtest,
};

use crate::{
    failure::Failure,
    format::{Format, print},
};
pub(crate) use args::Args;
use host::Host;
use report::Followed;

/// The seed of start-up times and of starts that fail.
const STARTUP_SEED: u64 = 0x5eed;

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    args.check()?;
    let trace = read::trace(&args.requests, args.share)?;
    let setting = setting(&args, &trace)?;
    let models = match &args.model {
        Some(dir) => model::load(dir, &setting)?,
        None => BTreeMap::new(),
    };
    let options = BacktestOptions {
        policies: policies(&args),
        hit_rates: args.hit_rates,
        curves: args.report.is_some(),
        prices: Prices {
            idle_hour: args.idle_price,
            waiting_hour: args.waiting_price,
        },
    };
    let followed = args
        .report
        .as_ref()
        .and_then(|_| followed(&options, &trace, &setting));
    let mut host = Host::new(&setting, models, args.dump.as_deref(), followed)?;
    let result = run_backtest(&trace, &setting, &options, &mut host);
    let followed = host.finish()?;
    if let (Some(dir), Some(followed)) = (&args.report, followed) {
        report::write(dir, &result, &followed, &trace, &setting)?;
    }
    match args.format {
        Format::Text => print(&table::render(&result)),
        Format::Json => print(&format!("{}\n", json::render(&result)?)),
    }
}

fn setting(args: &Args, trace: &Trace) -> Result<Setting, Failure> {
    let span_ms = trace.end().since(trace.start()).as_millis() as f64;
    let trained = Duration::from_millis((span_ms * args.train_fraction) as u64);
    let from = args.from.unwrap_or(trace.start() + trained);
    let startup = StartupTime::log_normal(args.startup, args.startup_sigma, STARTUP_SEED)
        .failing(args.start_failures);
    let setting = Setting::new(trace, from, args.tick, startup).map_err(Failure::bad_input)?;
    setting
        .with_max_instances(args.max_instances)
        .map_err(|error| Failure::bad_input(format!("--max-instances: {error}")))
}

fn policies(args: &Args) -> Vec<PolicyKind> {
    if args.policies.is_empty() {
        PolicyKind::ALL.to_vec()
    } else {
        args.policies.clone()
    }
}

/// What the report follows over time: the first policy at the last target.
fn followed(options: &BacktestOptions, trace: &Trace, setting: &Setting) -> Option<Followed> {
    let policy = *options.policies.first()?;
    let hit_rate = *options.hit_rates.last()?;
    Followed::new(trace, setting, policy, hit_rate)
}
