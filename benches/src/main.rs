//! The benchmark harness: each figure stands beside a peer that was measured in the same run.

mod allocate;
mod backtest;
mod clock;
mod forecast;
mod ledger;
mod noop;
mod peers;
mod report;
mod train;

use clap::{Parser, ValueEnum};

use report::Row;

/// Measures one part beside its peers.
#[derive(Debug, Parser)]
#[command(name = "foreshadow-benches")]
struct Cli {
    /// Which part.
    #[arg(value_enum)]
    name: Name,
    /// How to print the rows.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A tick of forecasts for many series, beside PyTorch and ONNX Runtime.
    Forecast,
    /// Training steps, beside PyTorch.
    Train,
    /// Unary `Allocate` + `Release` over gRPC, beside a server that does nothing.
    Allocate,
    /// Group commits of the ledger, beside a file that is appended to and synced.
    Ledger,
    /// Requests replayed under a constant pool, beside a plain event queue.
    Backtest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let rows: Vec<Row> = match cli.name {
        Name::Forecast => forecast::rows()?,
        Name::Train => train::rows()?,
        Name::Allocate => allocate::rows()?,
        Name::Ledger => ledger::rows()?,
        Name::Backtest => backtest::rows()?,
    };
    match cli.format {
        Format::Text => print!("{}", report::table(&rows)),
        Format::Json => println!("{:#}", report::json(&rows)),
    }
    Ok(())
}
