//! Makes the weights that every build holds from public traces: `pretrain TRACES OUT [SECONDS]`, with the
//! folder that has the traces and the one for the model. Only what was recorded until July 2013 is used, so
//! that whatever was recorded later is new to it.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::{Duration, Instant},
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
    let [traces, out, seconds @ ..] = &arguments[..] else {
        return Err("give the folder of the traces and one for the model".into());
    };
    let (traces, out) = (PathBuf::from(traces), PathBuf::from(out));
    let seconds = seconds.first().map_or(Ok(1_800), |text| text.parse())?;
    // For measuring on what was left out.
    let without = std::env::var("WITHOUT").unwrap_or_default();
    let used = BESIDE
        .iter()
        .filter(|trace| without.is_empty() || !trace.file.contains(&without));
    let beside = used.map(|trace| Ok((trace.load(&traces)?, trace.share)));
    let options = TrainOptions {
        seed: 1,
        longest: Duration::from_secs(seconds),
        beside: beside.collect::<Result<_, Box<dyn Error>>>()?,
        epochs: Some(40),
        ..TrainOptions::default()
    };
    let mut told = Told(Instant::now());
    let panel = FIRST.load(&traces)?;
    let manifest = train(&panel, &options, &Compute::cpu(), &out, &mut told)?;
    println!("{:#?}", manifest.validation);
    Ok(())
}

/// A line an epoch.
struct Told(Instant);

impl Observer for Told {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
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
