//! `foreshadow demo`: the whole product at work, with no set-up.
//!
//! It makes a sample history, trains on it, serves, drives real gRPC load against real processes
//! and prints what the live pool needed beside what others would have needed.

mod load;
mod replay;
mod sample;
mod scene;
mod table;
mod worker;
mod workload;

use std::{net::SocketAddr, time::Duration};

use foreshadow_types::parse_duration;

use crate::failure::Failure;
use scene::Scene;

pub(crate) use worker::{Args as WorkerArgs, run as run_worker};

/// Arguments of `foreshadow demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after the result instead of keeping the console open.
    #[arg(long)]
    once: bool,
    /// How long the load lasts.
    #[arg(long, value_name = "DURATION", default_value = "76s", value_parser = parse_duration)]
    load: Duration,
    /// How long a notebook takes to start.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    startup: Duration,
    /// Where the console listens while the demonstration runs.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The seed of the workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !(Duration::from_secs(5)..=Duration::from_hours(1)).contains(&args.load) {
        return Err(Failure::bad_input("--load: give 5s to 1h"));
    }
    if args.startup > Duration::from_secs(30) {
        return Err(Failure::bad_input("--startup: give at most 30s"));
    }
    if !args.listen.ip().is_loopback() {
        return Err(Failure::bad_input(
            "--listen: the demonstration listens on loopback only",
        ));
    }
    let scene = Scene::prepare(args)?;
    tokio::runtime::Runtime::new()?.block_on(scene.play(args))
}
