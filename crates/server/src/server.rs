//! The one port: binding, serving, and stopping in order.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use foreshadow_api::{
    DESCRIPTORS,
    externalscaler::external_scaler_server::ExternalScalerServer,
    v1::{
        admin_server::AdminServer, allocations_server::AllocationsServer,
        forecasts_server::ForecastsServer, shadows_server::ShadowsServer,
        telemetry_server::TelemetryServer,
    },
};
use foreshadow_engine::{EngineHandle, Readiness};
use foreshadow_telemetry::Intake;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use thiserror::Error;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower_http::compression::CompressionLayer;

use crate::{
    access::{Gate, Gated},
    cluster::{self, Cluster, Front, Reports, follow, follow_triggers},
    grpc::{
        AdminService, AllocationsService, ExternalScalerService, ForecastsService, OtlpService,
        ShadowsService, TelemetryService,
    },
    http::{self, HttpState, Receivers},
    listen::connections,
    options::{OptionsError, ServerOptions},
    traces::{self, Traced},
    turns::Turns,
};

/// How often the health service looks at the engine.
const HEALTH_CHECK: Duration = Duration::from_millis(500);
/// A connection that does not answer a ping for this long is closed.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Streams of one connection at a time.
const MAX_STREAMS: u32 = 4096;

/// What a connection may send before it is read. The allowance that h2 makes for small requests which
/// wait to be read grows with it, and a connection that uses it up is closed: it is large enough for
/// [`MAX_STREAMS`] of them.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * 1024;

/// Why the server did not start or ended.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The options were refused.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The descriptors of the contract cannot be read.
    #[error("cannot offer reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A port that is bound; nothing is answered before [`Server::run`].
#[derive(Debug)]
pub struct Server {
    options: ServerOptions,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Checks the options and binds the port, before any data needs to be touched.
    ///
    /// # Errors
    /// [`ServeError`] if the options are refused or the address cannot be listened on.
    pub async fn bind(options: ServerOptions) -> Result<Self, ServeError> {
        options.check()?;
        let failed = |source| ServeError::Bind {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            options,
            listener,
            address,
        })
    }

    /// The address that is bound, with the port that was chosen if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes: then health turns to `NOT_SERVING`, streams end, calls under
    /// way are answered, and the port closes. The engine goes on; stop it after this returns.
    ///
    /// # Errors
    /// [`ServeError`] if reflection cannot be offered or the transport fails.
    pub async fn run(
        self,
        engine: EngineHandle,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let stopping = CancellationToken::new();
        let intake = Intake::new(self.options.mappings.clone(), self.options.intake);
        let turns = Turns::new(self.options.max_in_flight);
        let state = state(&engine, &Arc::new(intake), &self.options, &turns, &stopping);
        let (grpc, pages) = services(state, &self.options, &stopping);
        let ready = move || engine.ready() == Readiness::Ready;
        let pages = pages.fallback(http::not_found);
        self.serve((grpc, pages), turns, ready, stopping, shutdown)
            .await
    }

    /// Serves as [`run`](Self::run) does, as one replica of several: whatever it is asked, the shard
    /// that it is about answers, here or elsewhere.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_replica(
        self,
        cluster: Cluster,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let stopping = CancellationToken::new();
        let options = self.options.clone();
        let intake = Arc::new(Intake::new(options.mappings.clone(), options.intake));
        let (routing, routes) = watch::channel(Arc::default());
        let (watching, followers) = watch::channel(Arc::default());
        let seen = (routes.clone(), followers);
        let front = Front::new(&cluster, seen, intake.clone(), &options, &stopping);
        let reports = Reports::Shards(front.clone());
        let receivers = Receivers::new(reports.clone(), intake.clone(), options.intake);
        let grpc = telemetry_services(Routes::default(), reports, &receivers, &options, &stopping);
        let mut tasks = JoinSet::new();
        let turns = Turns::new(options.max_in_flight);
        let claims = turns.clone();
        let open = move |engine: &EngineHandle, stopping: CancellationToken| {
            let state = state(engine, &intake, &options, &turns, &stopping);
            let grpc = engine_services(engine, &options, state.allocations.clone());
            let pages = http::engine_routes(state, &options);
            merged(grpc, pages.fallback(http::not_found))
        };
        let places = cluster.places.clone();
        tasks.spawn(follow(places, cluster.tls.clone(), open, routing));
        tasks.spawn(follow_triggers(cluster, routes, watching));
        let pages = cluster::pages(front.clone()).merge(http::passive(receivers));
        let pages = traces::told(pages, &self.options);
        let pages = pages.fallback_service(cluster::calls(front.clone()));
        let ready = move || front.is_ready();
        let served = self.serve((grpc, pages), claims, ready, stopping, shutdown);
        let served = served.await;
        tasks.shutdown().await;
        served
    }

    async fn serve(
        self,
        (grpc, pages): (Routes, Router),
        turns: Turns,
        ready: impl Fn() -> bool + Send + 'static,
        stopping: CancellationToken,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let drain = self.options.drain;
        let (reporter, health) = tonic_health::server::health_reporter();
        let grpc = with_reflection(grpc)?.add_service(health);
        let gate = Gate::of(&self.options, turns);
        // Pages and their answers, not calls of gRPC, which say for themselves how they are packed.
        let pages = pages.layer(CompressionLayer::new());
        let traced = Traced::new(self.options.traces.clone(), merged(grpc, pages));
        let services = Gated::new(gate, traced);

        // Before the first call can ask.
        set_health(&reporter, health_of(ready())).await;
        let served = tonic::transport::Server::builder()
            .accept_http1(true)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .max_concurrent_streams(MAX_STREAMS)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_with_incoming_shutdown(
                services,
                connections(
                    self.listener,
                    self.options.tls,
                    self.options.max_connections,
                ),
                announced(shutdown, ready, reporter, stopping.clone()),
            );
        let outcome = tokio::select! {
            outcome = served => outcome.map_err(ServeError::from),
            () = too_long(&stopping, drain) => {
                tracing::warn!(drain_s = drain.as_secs_f64(), "calls under way were cut off");
                Ok(())
            }
        };
        stopping.cancel();
        outcome
    }
}

/// Keeps the health service true to what is served until the end comes; then says so to whoever asks
/// for health, and ends streams, those of watchers of health too.
async fn announced(
    shutdown: impl Future<Output = ()>,
    ready: impl Fn() -> bool,
    mut reporter: HealthReporter,
    stopping: CancellationToken,
) {
    let mut shutdown = pin!(shutdown);
    let mut ticks = tokio::time::interval(HEALTH_CHECK);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = ticks.tick() => {}
        }
        set_health(&reporter, health_of(ready())).await;
    }
    set_health(&reporter, ServingStatus::NotServing).await;
    stopping.cancel();
    for service in HEALTH_OF {
        reporter.clear_service_status(service).await;
    }
}

async fn too_long(stopping: &CancellationToken, drain: Duration) {
    stopping.cancelled().await;
    tokio::time::sleep(drain).await;
}

fn health_of(ready: bool) -> ServingStatus {
    if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

/// Whose health can be asked for; the first is the whole server.
const HEALTH_OF: [&str; 7] = [
    "",
    "foreshadow.v1.Admin",
    "foreshadow.v1.Allocations",
    "foreshadow.v1.Forecasts",
    "foreshadow.v1.Shadows",
    "foreshadow.v1.Telemetry",
    "externalscaler.ExternalScaler",
];

/// The whole server and each service answer alike.
async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for service in HEALTH_OF {
        reporter.set_service_status(service, status).await;
    }
}

/// All services of one engine.
fn services(
    state: HttpState,
    options: &ServerOptions,
    stopping: &CancellationToken,
) -> (Routes, Router) {
    let reports = Reports::Engine(state.engine.clone());
    let grpc = engine_services(&state.engine, options, state.allocations.clone());
    let grpc = telemetry_services(grpc, reports, &state.receivers, options, stopping);
    (grpc, http::router(state, options))
}

fn state(
    engine: &EngineHandle,
    intake: &Arc<Intake>,
    options: &ServerOptions,
    turns: &Turns,
    stopping: &CancellationToken,
) -> HttpState {
    let reports = Reports::Engine(engine.clone());
    HttpState {
        engine: engine.clone(),
        receivers: Receivers::new(reports, intake.clone(), options.intake),
        allocations: AllocationsService {
            engine: engine.clone(),
            turns: turns.clone(),
            shutdown: stopping.clone(),
        },
        stopping: stopping.clone(),
        refusals: Arc::clone(&options.refusals),
    }
}

fn engine_services(
    engine: &EngineHandle,
    options: &ServerOptions,
    allocations: AllocationsService,
) -> Routes {
    let engine = || engine.clone();
    let scaler = ExternalScalerService {
        engine: engine(),
        shutdown: allocations.shutdown.clone(),
    };
    let admin = AdminService { engine: engine() };
    let forecasts = ForecastsService { engine: engine() };
    let shadows = ShadowsService { engine: engine() };
    let most = options.max_message_bytes;
    Routes::new(AllocationsServer::new(allocations).max_decoding_message_size(most))
        .add_service(AdminServer::new(admin).max_decoding_message_size(most))
        .add_service(ForecastsServer::new(forecasts).max_decoding_message_size(most))
        .add_service(ShadowsServer::new(shadows).max_decoding_message_size(most))
        .add_service(ExternalScalerServer::new(scaler).max_decoding_message_size(most))
}

fn telemetry_services(
    grpc: Routes,
    reports: Reports,
    receivers: &Receivers,
    options: &ServerOptions,
    stopping: &CancellationToken,
) -> Routes {
    let telemetry = TelemetryService {
        reports,
        limits: options.intake,
        shutdown: stopping.clone(),
    };
    let otlp = OtlpService {
        receivers: receivers.clone(),
    };
    let most = options.max_message_bytes;
    grpc.add_service(TelemetryServer::new(telemetry).max_decoding_message_size(most))
        .add_service(
            MetricsServiceServer::new(otlp)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(options.intake.max_body_bytes),
        )
}

fn with_reflection(grpc: Routes) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(grpc
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

/// Services and pages, with the fallback of the pages.
fn merged(grpc: Routes, pages: Router) -> Router {
    grpc.into_axum_router().reset_fallback().merge(pages)
}
