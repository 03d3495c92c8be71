//! Makes the weights that every build holds, from public traces. Only what was recorded until July 2013 is
//! used, so that whatever was recorded later is new to them.
//!
//! ```sh
//! cargo run --release -p foreshadow-training --example pretrain -- TRACES OUT
//! ```
//!
//! With a third argument, a part of the names of files to be left out, they can be measured on those.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_forecast::Panel;
use foreshadow_lstm::Compute;
use foreshadow_training::{
    DatasetOptions, EpochReport, Observer, StepProgress, TrainOptions, load_dataset, train,
};

/// The history that the model is validated on when it is done; its metrics are named in the manifest.
const FIRST: Trace = Trace {
    file: "usage_bitbrains_rnd_2013-07_5min_grid.parquet",
    metrics: &["cpu_usage_mhz", "cpu_usage_pct"],
    seconds: 300,
    share: 1.0,
};

/// What is learnt beside: memory, storage and network, machines of others, and counts of requests.
const BESIDE: [Trace; 7] = [
    Trace {
        file: "usage_bitbrains_rnd_2013-07.parquet",
        metrics: &[
            "memory_bytes",
            "storage_read_bytes_per_second",
            "storage_write_bytes_per_second",
            "network_receive_bytes_per_second",
            "network_transmit_bytes_per_second",
        ],
        seconds: 300,
        share: 0.4,
    },
    Trace {
        file: "usage_google_2011_vms.parquet",
        metrics: &["cpu_usage_pct", "memory_usage_pct"],
        seconds: 300,
        share: 0.1,
    },
    requests("requests_lcg_grid_2005.parquet", 300),
    requests("requests_lcg_grid_2005.parquet", 60),
    requests("requests_nasa_http_1995.parquet", 300),
    requests("requests_nasa_http_1995.parquet", 60),
    requests("requests_nasa_ipsc_1993.parquet", 900),
];

struct Trace {
    file: &'static str,
    metrics: &'static [&'static str],
    seconds: u64,
    /// Beside that of the first.
    share: f32,
}

const fn requests(file: &'static str, seconds: u64) -> Trace {
    Trace {
        file,
        metrics: &["requests"],
        seconds,
        share: 0.1,
    }
}

impl Trace {
    fn load(&self, traces: &Path) -> Result<Panel, Box<dyn Error>> {
        let panel = load_dataset(&DatasetOptions {
            history: vec![traces.join(self.file)],
            metrics: Some(
                self.metrics
                    .iter()
                    .map(|&metric| metric.to_owned())
                    .collect(),
            ),
            interval: Duration::from_secs(self.seconds),
            until: None,
            seed: 0,
        })?;
        eprintln!(
            "{}: {} series of {} bins",
            self.file,
            panel.ids().len(),
            panel.bins()
        );
        Ok(panel)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [traces, out, without @ ..] = &arguments[..] else {
        return Err("give the folder of the traces and one for the model".into());
    };
    let (traces, out) = (PathBuf::from(traces), PathBuf::from(out));
    let left_out = |trace: &&Trace| without.iter().any(|part| trace.file.contains(part));
    let used = BESIDE.iter().filter(|trace| !left_out(trace));
    let beside = used.map(|trace| Ok((trace.load(&traces)?, trace.share)));
    let options = TrainOptions {
        seed: 1,
        beside: beside.collect::<Result<_, Box<dyn Error>>>()?,
        epochs: Some(40),
        ..TrainOptions::default()
    };
    let panel = FIRST.load(&traces)?;
    let manifest = train(&panel, &options, &Compute::cpu(), &out, &mut Told)?;
    println!("{:#?}", manifest.validation);
    Ok(())
}

/// A line an epoch. No time passes, so that steps alone decide and the weights are the same each time.
struct Told;

impl Observer for Told {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn stepped(&mut self, _: &StepProgress) {}

    fn epoch(&mut self, report: &EpochReport<'_>) {
        eprintln!(
            "epoch {}/{}: loss {:.4}, validation {:.4}, best {:.4}",
            report.epoch, report.epochs, report.loss, report.validation_loss, report.best
        );
    }

    fn resumed(&mut self, epoch: u64) {
        eprintln!("going on from epoch {epoch}");
    }
}
