//! `foreshadow serve`.

mod guard;
mod reload;
#[cfg(feature = "cluster")]
mod replica;
mod signals;

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc};

use foreshadow_engine::{Engine, EngineConfig, StartError};
use foreshadow_lstm::Compute;
use foreshadow_server::{ServeError, Server, ServerOptions};
use sd_notify::NotifyState;

use self::{
    guard::Guard,
    reload::Started,
    signals::{reload_signals, stop_signal},
};
use crate::{
    config,
    device::Device,
    failure::Failure,
    logging::{self, LogFormat},
    traces::{Traces, W3c},
};

/// Arguments of `foreshadow serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pools and how they are planned, as TOML; without it there are no pools.
    #[arg(long, env = "FORESHADOW_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where gRPC, HTTP and the console listen.
    #[arg(
        long,
        env = "FORESHADOW_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7070"
    )]
    listen: SocketAddr,
    /// Where the ledger, the history and the models are kept.
    #[arg(
        long,
        env = "FORESHADOW_DATA",
        value_name = "DIR",
        default_value = "foreshadow-data"
    )]
    data: PathBuf,
    /// A bearer token that may do everything; this or `[[token]]` in the configuration is needed to
    /// listen beyond loopback.
    #[arg(
        long,
        env = "FORESHADOW_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// How lines of the log, on stderr, are written.
    #[arg(
        long,
        env = "FORESHADOW_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value_t = LogFormat::Text
    )]
    log_format: LogFormat,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    tokio::runtime::Runtime::new()?.block_on(Box::pin(started(args)))
}

async fn started(args: Args) -> Result<(), Failure> {
    let loaded = config::load(args.config.as_deref(), &args.data).map_err(Failure::bad_input)?;
    let started = Started::with(&loaded);
    let traces = loaded.traces.as_ref().map(Traces::new).transpose()?;
    logging::start(traces.as_ref(), args.log_format);
    let mut guard = Guard::new(loaded.access, args.token)?;
    let mut options = ServerOptions::new(args.listen);
    options.access = guard.access.clone();
    options.tls = guard.tls.clone();
    options
        .check()
        .map_err(|error| Failure::bad_input(format!("--listen: {error}")))?;
    if options.tls.is_none() && !args.listen.ip().is_loopback() {
        tracing::warn!("tokens travel unencrypted; set [tls] or put a proxy that encrypts before");
    }
    options.mappings = loaded.telemetry.mappings;
    options.intake = loaded.telemetry.limits;
    options.traces = traces.as_ref().map(|_| Arc::new(W3c) as _);
    let mut engine = loaded.engine;
    engine.compute = compute(loaded.device)?;
    engine.retraining.command = Some(own_command("train")?);
    engine.retraining.replay = Some(own_command("replay-pools")?);
    let stop = stop_signal();
    let reloading = tokio::spawn(reload_signals(move || {
        let loaded = config::load(args.config.as_deref(), &args.data)?;
        let left = started.left_by(&Started::with(&loaded));
        guard.reload(loaded.access)?;
        if !left.is_empty() {
            let parts = left.join(", ");
            tracing::warn!(parts, "the configuration has changes that need a restart");
        }
        Ok(())
    }));
    #[cfg(feature = "cluster")]
    let served = match loaded.cluster {
        Some(cluster) => replica::serve(options, engine, cluster, stop).await,
        None => serve(options, engine, stop).await,
    };
    #[cfg(not(feature = "cluster"))]
    let served = serve(options, engine, stop).await;
    reloading.abort();
    if let Some(traces) = traces {
        traces.flush().await;
    }
    served
}

/// Where forecasts are computed, which the log tells.
fn compute(asked: Device) -> Result<Compute, Failure> {
    let (compute, fallback) = asked.compute("device")?;
    if let Some(reason) = fallback {
        tracing::warn!(device = "cpu", %reason, "forecasts run on the cpu");
    } else {
        tracing::info!(device = compute.name(), "forecasts run on this device");
    }
    Ok(compute)
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
    notify(&[NotifyState::Ready]);
    let watched = engine.clone();
    let ended = async move {
        tokio::select! {
            () = stop => {}
            // The engine ends by itself only when decisions can no longer be kept; the reason is
            // given below.
            _ = watched.stopped() => {}
        }
        notify(&[NotifyState::Stopping]);
    };
    let served = server.run(engine.clone(), ended).await;
    engine.shutdown().await?;
    Ok(served?)
}

/// Tells the service manager, if it started this (systemd, `Type=notify`).
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told");
    }
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

/// A command of this program.
fn own_command(name: &str) -> Result<Vec<String>, Failure> {
    let program = std::env::current_exe()?;
    Ok(vec![
        program.to_string_lossy().into_owned(),
        name.to_owned(),
    ])
}
