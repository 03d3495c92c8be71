//! Foreshadow: predictive warm pools.
//!
//! The binary parses arguments and configuration, calls the libraries and reports failures with the
//! exit codes of every command: 0 done, 1 failed, 2 bad input or usage.

mod clock;
mod commands;
mod config;
mod device;
#[cfg(test)]
#[path = "../../../tests/fuzz/edits.rs"]
mod edits;
mod failure;
mod format;
mod logging;
mod remote;
mod table;
mod traces;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use mimalloc::MiMalloc;

use commands::{
    admin, backtest, demo, evaluate, import, replay_pools, serve,
    shell::{self, CompletionsArgs, ManArgs},
    token, train,
};
use failure::Failure;

/// A steady allocator: decisions make and drop many small things in different threads.
#[global_allocator]
static MEMORY: MiMalloc = MiMalloc;

/// Predictive warm pools: forecast demand, keep the right number of resources warm, hand them out
/// in microseconds.
#[derive(Debug, Parser)]
#[command(name = "foreshadow", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit a model on usage or request history.
    Train(train::Args),
    /// Measure models against the naive baselines on history they have not seen.
    Evaluate(evaluate::Args),
    /// Replay a request log under each policy: hit rate, waits and idle cost.
    Backtest(backtest::Args),
    /// Keep pools warm and hand them out over gRPC and HTTP.
    Serve(serve::Args),
    #[command(flatten)]
    Admin(admin::Admin),
    /// Show the product working, with no set-up.
    Demo(demo::Args),
    /// Turn other formats into history files.
    Import(import::Args),
    /// Make a token for a caller of a server.
    Token(token::Args),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page.
    Man(ManArgs),
    /// The resource that the demonstration starts.
    #[command(hide = true)]
    DemoWorker(demo::WorkerArgs),
    /// Compare two models by how pools fare with them.
    #[command(hide = true)]
    ReplayPools(replay_pools::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return usage(&error).report(),
        Err(help) => help.exit(),
    };
    let result = match cli.command {
        Command::Train(args) => train::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Backtest(args) => backtest::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(&args),
        Command::Import(args) => import::run(args),
        Command::Admin(command) => admin::run(&command),
        Command::Token(args) => token::run(&args),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
        Command::DemoWorker(args) => demo::run_worker(&args),
        Command::ReplayPools(args) => replay_pools::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// What clap says of wrong usage, without the synopsis that follows it.
fn usage(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let said = text.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.trim_start_matches("error: ");
    Failure::bad_input(
        said.split("\n\nFor more information")
            .next()
            .unwrap_or_default(),
    )
}
