//! `foreshadow serve`.

use std::{future::Future, net::SocketAddr, path::PathBuf};

use foreshadow_engine::{Engine, EngineConfig, StartError};
use foreshadow_server::{ServeError, Server, ServerOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::{config, failure::Failure, logging};

/// Arguments of `foreshadow serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pools and how they are planned, as TOML; without it there are no pools.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where gRPC, HTTP and the console listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Where the ledger, the history and the models are kept.
    #[arg(long, value_name = "DIR", default_value = "foreshadow-data")]
    data: PathBuf,
    /// What every caller must show as a bearer token; needed to listen beyond loopback.
    #[arg(
        long,
        env = "FORESHADOW_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    logging::start();
    let mut options = ServerOptions::new(args.listen);
    options.token = args.token;
    options
        .check()
        .map_err(|error| Failure::bad_input(format!("--listen: {error}")))?;
    let loaded = config::load(args.config.as_deref(), &args.data).map_err(Failure::bad_input)?;
    options.mappings = loaded.telemetry.mappings;
    options.intake = loaded.telemetry.limits;
    let mut engine = loaded.engine;
    engine.retraining.command = Some(train_command()?);
    tokio::runtime::Runtime::new()?.block_on(async { serve(options, engine, stop_signal()).await })
}

/// Serves until `stop` completes, and says on stdout when and where.
async fn serve(
    options: ServerOptions,
    engine: EngineConfig,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let server = bind(options).await?;
    let address = server.local_addr();
    let engine = Engine::start(engine).await.map_err(not_started)?;
    println!("listening on {address}");
    let watched = engine.clone();
    let ended = async move {
        tokio::select! {
            () = stop => {}
            // The engine ends by itself only when decisions can no longer be kept; the reason is
            // given below.
            _ = watched.stopped() => {}
        }
    };
    let served = server.run(engine.clone(), ended).await;
    engine.shutdown().await?;
    Ok(served?)
}

/// Binds the port before any data is touched.
pub(super) async fn bind(options: ServerOptions) -> Result<Server, Failure> {
    match Server::bind(options).await {
        Ok(server) => Ok(server),
        Err(error @ (ServeError::Options(_) | ServeError::Bind { .. })) => {
            Err(Failure::bad_input(format!("--listen: {error}")))
        }
        Err(error @ (ServeError::Reflection(_) | ServeError::Transport(_))) => Err(error.into()),
    }
}

/// What the operator can mend is bad input; the rest has failed.
pub(super) fn not_started(error: StartError) -> Failure {
    Failure::bad_input(error)
}

/// This program's own `train` command.
pub(super) fn train_command() -> Result<Vec<String>, Failure> {
    let program = std::env::current_exe()?;
    Ok(vec![
        program.to_string_lossy().into_owned(),
        "train".to_owned(),
    ])
}

/// Completes at SIGINT or SIGTERM. They are heeded from this call on, not from the first wait: one
/// that comes while the server starts ends it in order too.
fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            tracing::error!("signals cannot be waited for; end the server with kill -9");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
