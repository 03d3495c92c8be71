//! `foreshadow import`.

mod prometheus;

use std::path::PathBuf;

use clap::Subcommand;
use foreshadow_history::{HistoryError, ImportSummary, SwfOptions, import_csv, import_swf};
use foreshadow_types::{PoolName, Timestamp};

use crate::failure::Failure;

/// Arguments of `foreshadow import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    format: Format,
}

/// The format that is read.
#[derive(Debug, Subcommand)]
enum Format {
    /// Comma-separated values with a header line: `timestamp,entity_id,METRIC…` for usage, or
    /// `timestamp,pool[,user_id,application_id,hold_ms,vcpus,memory_bytes,merge_key]` for requests. Times are
    /// RFC 3339 or numbers since 1970.
    Csv {
        /// The files, which become one.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The history file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The metrics of usage to keep; all further columns unless given.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        metrics: Option<Vec<String>>,
    },
    /// What a Prometheus server remembers of the metrics that are mapped.
    Prometheus(prometheus::Args),
    /// Job logs in the Standard Workload Format of the Parallel Workloads Archive.
    Swf {
        /// The files, which become one.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The history file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The pool that the jobs are requests for.
        #[arg(long, value_name = "NAME", default_value = "node", value_parser = PoolName::new)]
        pool: PoolName,
        /// When the log starts, where its header does not say so.
        #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
        start: Option<Timestamp>,
    },
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let (out, summary) = match args.format {
        Format::Prometheus(args) => {
            let (out, summary) = prometheus::run(&args)?;
            (out, Ok(summary))
        }
        Format::Csv {
            files,
            out,
            metrics,
        } => {
            let summary = import_csv(&files, &out, metrics.as_deref());
            (out, summary)
        }
        Format::Swf {
            files,
            out,
            pool,
            start,
        } => {
            let summary = import_swf(&files, &out, &SwfOptions { pool, start });
            (out, summary)
        }
    };
    let ImportSummary { rows, first, last } = summary.map_err(failure)?;
    eprintln!("{}: {rows} rows from {first} to {last}", out.display());
    Ok(())
}

fn failure(error: HistoryError) -> Failure {
    Failure::bad_input(error)
}
