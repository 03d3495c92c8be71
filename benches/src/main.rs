//! The benchmark harness: each figure stands beside a peer that was measured in the same run.

mod allocate;
mod backtest;
mod capacity;
mod clock;
mod forecast;
mod ingest;
mod ledger;
mod overload;
mod pages;
mod peers;
mod postgres;
mod process;
mod provider;
mod replicas;
mod report;
mod scale;
mod train;

use clap::{Parser, ValueEnum};
use foreshadow_lstm::{Compute, DeviceChoice};
use mimalloc::MiMalloc;

use report::Row;

/// As in the server.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// Measures one part beside its peers.
#[derive(Debug, Parser)]
#[command(name = "foreshadow-benches")]
struct Cli {
    /// Which part.
    #[arg(value_enum)]
    name: Name,
    /// Where `forecast` computes its ticks: on a graphics card only with the feature `gpu`.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// How to print the rows.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A tick of forecasts for many series, beside `PyTorch` and ONNX Runtime.
    Forecast,
    /// Training steps, beside `PyTorch`.
    Train,
    /// `Allocate` and `Release` over gRPC, unary, in a stream and in a burst, beside a server that does
    /// nothing, `PostgreSQL` and Valkey.
    Allocate,
    /// Group commits of the ledger and its recovery, beside plain files.
    Ledger,
    /// Twice the load that the server can take, for a minute, beside its peak.
    Overload,
    /// Samples through Prometheus remote write, beside Prometheus itself, and resource shadows read
    /// among a million.
    Ingest,
    /// Requests replayed under a constant pool, beside a plain event queue.
    Backtest,
    /// One server at three sizes, up to a million leases and entities, and calls through a replica.
    Scale,
    /// One, two and three real servers that share a `PostgreSQL`, beside one with a ledger in files.
    Replicas,
    /// What a million to a billion entities need, by formulas beside what was measured: nothing is run.
    Capacity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// A graphics card where there is one, and enough series.
    Auto,
    Cpu,
    Gpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    // Some benchmarks start this program itself as a process of their own.
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("worker") => return allocate::serve_worker(words.next().as_deref()),
        Some("overload-server") => return overload::serve(),
        Some("ingest-server") => return ingest::serve(words),
        Some("scale-server") => return scale::serve(words),
        Some(_) | None => {}
    }
    let cli = Cli::parse();
    let rows: Vec<Row> = match cli.name {
        Name::Forecast => forecast::rows(&compute(cli.device)?)?,
        Name::Train => train::rows()?,
        Name::Allocate => allocate::rows()?,
        Name::Ledger => ledger::rows()?,
        Name::Overload => overload::rows()?,
        Name::Ingest => ingest::rows()?,
        Name::Backtest => backtest::rows()?,
        Name::Scale => scale::rows()?,
        Name::Replicas => replicas::rows()?,
        Name::Capacity => capacity::rows(),
    };
    match cli.format {
        Format::Text if cli.name == Name::Capacity => print!("{}", capacity::page()),
        Format::Text => print!("{}", report::table(&rows)),
        Format::Json => println!("{:#}", report::json(&rows)),
    }
    Ok(())
}

fn compute(device: Device) -> anyhow::Result<Compute> {
    let (compute, fallback) = Compute::probe(match device {
        Device::Auto => DeviceChoice::Auto,
        Device::Cpu => DeviceChoice::Cpu,
        Device::Gpu => DeviceChoice::Gpu,
    })?;
    if let Some(reason) = fallback {
        eprintln!("on the cpu: {reason}");
    }
    Ok(compute)
}
