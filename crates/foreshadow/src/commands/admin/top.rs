//! `foreshadow top`.

use std::{thread::sleep, time::Duration};

use foreshadow_api::v1::{Overview, overview::Totals};

use super::{Asked, percent, pools};
use crate::{
    failure::Failure,
    format::{Format, shown},
    remote::{span, time},
};

const RENEWED: Duration = Duration::from_secs(2);
/// Clears a terminal and goes to its upper left (ECMA-48); it is left out where there is none.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Arguments of `foreshadow top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print it once.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let ask = || args.asked.remote.get::<Overview>("/api/v1/overview", &[]);
    // What is wrong from the beginning is hardly going to mend itself.
    let mut found = ask()?;
    if args.once || args.asked.format == Format::Json {
        return args.asked.write(&found, text);
    }
    let mut failed = None;
    while shown(&format!("{CLEAR}{}", screen(&found, failed)))? {
        sleep(RENEWED);
        failed = match ask() {
            Ok(renewed) => {
                found = renewed;
                None
            }
            Err(failure) => Some(failure.into_error()),
        };
    }
    Ok(())
}

/// What was last found, below why it is not renewed where it is not.
fn screen(found: &Overview, failed: Option<anyhow::Error>) -> String {
    let Some(error) = failed else {
        return text(found);
    };
    let since = time(found.as_of);
    format!(
        "not renewed since {since}, tried again: {error:#}\n\n{}",
        text(found)
    )
}

fn text(found: &Overview) -> String {
    let ready = if found.ready {
        "ready"
    } else {
        &found.not_ready_reason
    };
    let totals = found.totals.clone().unwrap_or_default();
    let asked = totals.hits + totals.joins + totals.misses + totals.rejected;
    let rate = (asked > 0).then(|| totals.hits as f64 / asked as f64);
    let forecasting = found.forecasting.clone().unwrap_or_default();
    format!(
        "foreshadow {} at {}, {ready}\n\
         {} requests, {} warm; answers p50 {} p99 {}\n\
         model {}, {} series, a batch {}; {} entities, {} samples\n\n{}{}",
        found.version,
        time(found.as_of),
        asked,
        percent(rate),
        span(found.reply_p50.as_ref()),
        span(found.reply_p99.as_ref()),
        forecasting.model,
        forecasting.series,
        span(forecasting.batch_p50.as_ref()),
        found.entities,
        found.samples,
        pools::table(&found.pools),
        more(&totals, found.pools.len()),
    )
}

/// Says that there are more pools than are shown.
fn more(totals: &Totals, shown: usize) -> String {
    match totals.pools.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!("… and {more} pools that are less urgent\n"),
    }
}
