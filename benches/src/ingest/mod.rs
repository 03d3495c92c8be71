//! Samples through Prometheus remote write, beside what Prometheus itself takes of the same bodies from
//! the same senders in the same run, and resource shadows read among a million and of past times.
//!
//! Senders and server share the machine. So there are two figures: samples a second, with the senders'
//! work in them, and samples a second of the server's own processor time.

mod past;
mod payload;
mod post;
mod prometheus;
mod server;
mod shadows;

use std::net::SocketAddr;

use self::{payload::Payload, post::Poster, prometheus::Prometheus};
use crate::{
    process::{OtherProcess, memory_mb, processor_s},
    report::{Row, median},
};

pub(crate) use self::server::{serve, serve_filled};

/// Samples of one request: the default of Prometheus up to 2.53, and since.
const BATCHES: [(usize, &str, &str); 2] = [
    (500, "write_500", "write_500_cpu_s"),
    (2_000, "write_2000", "write_2000_cpu_s"),
];
const RUNS: usize = 3;
const PEER: &str = "prometheus";

/// All rows.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (batch, rate, of_processor) in BATCHES {
        let payload = Payload::new(batch)?;
        let (mut ours, mut theirs) = (Rates::default(), Rates::default());
        for _ in 0..RUNS {
            ours.push(measure_ours(&payload)?);
            match measure_theirs(&payload) {
                Ok(run) => theirs.push(run),
                Err(error) => eprintln!("{PEER}: a run is left out: {error:#}"),
            }
        }
        rows.push(row(rate, "samples/s", &ours.per_s, &theirs.per_s));
        rows.push(row(
            of_processor,
            "samples/cpu s",
            &ours.per_cpu_s,
            &theirs.per_cpu_s,
        ));
    }
    rows.extend(shadows::rows()?);
    rows.extend(past::rows()?);
    Ok(rows)
}

fn row(name: &'static str, unit: &'static str, ours: &[f64], theirs: &[f64]) -> Row {
    Row {
        name,
        value: median(ours),
        unit,
        peer: PEER,
        peer_value: median(theirs),
    }
}

/// What several runs gave.
#[derive(Debug, Default)]
struct Rates {
    per_s: Vec<f64>,
    per_cpu_s: Vec<f64>,
}

impl Rates {
    fn push(&mut self, run: Run) {
        self.per_s.push(run.samples / run.took_s);
        self.per_cpu_s.push(run.samples / run.processor_s);
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
struct Run {
    samples: f64,
    took_s: f64,
    /// Of the server.
    processor_s: f64,
}

fn measure_ours(payload: &Payload) -> anyhow::Result<Run> {
    let server = OtherProcess::start(&["ingest-server"])?;
    measure(
        "foreshadow",
        server.address,
        server.id(),
        payload,
        "foreshadow_intake_samples_total{outcome=\"mapped\"",
    )
}

fn measure_theirs(payload: &Payload) -> anyhow::Result<Run> {
    let server = Prometheus::start()?;
    measure(
        PEER,
        server.address,
        server.id(),
        payload,
        "prometheus_tsdb_head_samples_appended_total",
    )
}

/// Sends all bodies and makes sure that all samples have been taken.
fn measure(
    name: &str,
    address: SocketAddr,
    process: u32,
    payload: &Payload,
    taken: &str,
) -> anyhow::Result<Run> {
    let before_s = processor_s(process)?;
    let took_s = payload.send(address)?;
    let run = Run {
        samples: payload.samples as f64,
        took_s,
        processor_s: processor_s(process)? - before_s,
    };
    let counted = Poster::new(address).metric(taken)?;
    anyhow::ensure!(
        counted == run.samples,
        "{name} took {counted} of {} samples",
        run.samples
    );
    eprintln!(
        "{name}: {:.0} samples/s, {:.2} of the server's processor seconds a second, {:.0} MB of memory",
        run.samples / run.took_s,
        run.processor_s / run.took_s,
        memory_mb(process)?
    );
    Ok(run)
}
