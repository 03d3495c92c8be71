//! A replica of several: whatever it is asked, the shard that it is about answers, here or elsewhere.
//!
//! Every replica takes every call. [`dispatch`] says which shard a call is about, or that it is about
//! all of them; [`routes`] knows where each shard is; [`wire`] sends a call there and reads what comes
//! back; [`join`] makes one answer of several.

mod admin;
mod allocations;
mod dispatch;
mod exchange;
mod join;
mod lanes;
mod overrides;
mod pages;
mod places;
mod reach;
mod reports;
mod routes;
mod wire;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::{FromRequestParts, State},
    http::{Extensions, HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts},
    response::Response,
    routing::get,
};
use foreshadow_api::v1;
use foreshadow_telemetry::Intake;
use foreshadow_types::{PoolName, ShardId, Shards};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

pub use self::places::{Cluster, PeerTls, Place};
use self::reach::Reach;
pub(crate) use self::{
    reports::{Followers, Reports, follow_triggers},
    routes::{Route, follow},
};
use crate::{
    access::{Caller, Refusals},
    console,
    error::ApiError,
    http,
    options::ServerOptions,
    turns::Turns,
};

/// How long a call waits for a shard that moves from one replica to another.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it takes at the least until another replica may have a shard that has moved.
const AGAIN: Duration = Duration::from_millis(100);

/// What a caller is told whom another replica would not know.
const CERTIFICATE_ALONE: &str =
    "the shard is with another replica, which does not see your certificate; show a token";

/// Marks a call that another replica has sent on, with the shard that it is for.
pub(crate) const FORWARDED: &str = "foreshadow-forwarded";

/// Says for whom another replica has sent a call on.
pub(crate) const CLIENT: &str = "foreshadow-client";

/// What tells of the trace that a call is part of.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// Marks the answer of a replica that has not the shard any more, and has done nothing.
const MOVING: &str = "foreshadow-moving";

/// What every call passes in a cluster; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shards: Shards,
    /// The pools that there are, and where.
    pools: BTreeMap<PoolName, ShardId>,
    routes: watch::Receiver<Arc<Vec<Route>>>,
    /// Which shards want to know of whose usage.
    followers: watch::Receiver<Arc<Followers>>,
    /// What reads telemetry here.
    intake: Arc<Intake>,
    refusals: Arc<Refusals>,
    /// Whether replicas know their callers.
    guarded: bool,
    /// Whether every shard was somewhere once.
    begun: AtomicBool,
    /// Of calls whose body is here.
    turns: Turns,
    /// The largest bodies that are read as a whole, of gRPC and of HTTP.
    max_message_bytes: usize,
    max_http_body_bytes: usize,
    /// Ends the streams of callers.
    stopping: CancellationToken,
}

impl Front {
    pub(crate) fn new(
        cluster: &Cluster,
        (routes, followers): (
            watch::Receiver<Arc<Vec<Route>>>,
            watch::Receiver<Arc<Followers>>,
        ),
        intake: Arc<Intake>,
        options: &ServerOptions,
        stopping: &CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                shards: cluster.shards,
                pools: cluster.pools.clone(),
                routes,
                followers,
                intake,
                refusals: Arc::clone(&options.refusals),
                guarded: options.access.is_some(),
                begun: AtomicBool::new(false),
                turns: Turns::new(options.max_in_flight),
                max_message_bytes: options.max_message_bytes,
                max_http_body_bytes: options.max_http_body_bytes,
                stopping: stopping.clone(),
            }),
        }
    }

    /// Whether calls can be answered here. A shard that nobody has once the replica has begun is not
    /// this replica's to mend.
    pub(crate) fn is_ready(&self) -> bool {
        let begun = &self.shared.begun;
        if !begun.load(Ordering::Relaxed) {
            let routes = self.shared.routes.borrow();
            let whole = !routes.is_empty() && routes.iter().all(Route::is_known);
            begun.store(whole, Ordering::Relaxed);
        }
        begun.load(Ordering::Relaxed)
    }

    /// Whether the process is of use still: no shard hangs here that nobody else has.
    pub(crate) fn is_alive(&self) -> bool {
        let routes = self.shared.routes.borrow();
        !routes.iter().any(|route| matches!(route, Route::Stuck))
    }

    fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        self.shared.shards.all()
    }

    /// The shard of a pool; of one that there is not, any.
    fn of_pool(&self, pool: &str) -> ShardId {
        let known = PoolName::new(pool).ok();
        let placed = known.and_then(|name| self.shared.pools.get(&name).copied());
        placed.unwrap_or_else(|| self.shared.shards.of_name(pool))
    }

    fn of_entity(&self, entity: &str) -> ShardId {
        self.shared.shards.of_name(entity)
    }

    /// The shard of an id; of one that cannot be, the first, which says so.
    fn of_id<I: std::str::FromStr + Into<ShardId>>(&self, id: &str) -> ShardId {
        let shard = id.parse::<I>().map_or(ShardId(0), Into::into);
        if shard.0 < self.shared.shards.count() {
            shard
        } else {
            ShardId(0)
        }
    }

    /// The shard in which a request that names no pool is tried first: the same for a request that is
    /// repeated and for those that are to share an instance; others are spread.
    fn first_for(&self, wanted: &v1::AllocateRequest) -> ShardId {
        let names = [
            &wanted.merge_key,
            &wanted.idempotency_key,
            &wanted.user_id,
            &wanted.application_id,
            &wanted.tenant_id,
        ];
        let name = names.into_iter().find(|name| !name.is_empty());
        self.of_entity(name.map_or("", String::as_str))
    }

    /// All shards, beginning with one.
    fn from(&self, first: ShardId) -> impl Iterator<Item = ShardId> + use<> {
        let count = self.shared.shards.count();
        (0..count).map(move |step| ShardId((first.0 + step) % count))
    }

    /// Where a shard is; waits for one that moves, until then.
    async fn reach(
        &self,
        shard: ShardId,
        credentials: &Credentials,
        until: Instant,
    ) -> Result<Reach, ApiError> {
        if shard.0 >= self.shared.shards.count() {
            return Err(ApiError::invalid(format!("there is no shard {shard}")));
        }
        let mut routes = self.shared.routes.clone();
        let index = usize::from(shard.0);
        let known = routes.wait_for(|routes| routes.get(index).is_some_and(Route::is_known));
        let route = match timeout_at(until, known).await {
            Ok(Ok(routes)) => routes.get(index).cloned(),
            Ok(Err(_)) | Err(_) => None,
        };
        match route {
            Some(Route::There { .. }) if credentials.forwarded.is_some() => Err(moving(shard)),
            Some(Route::There { .. }) if self.shared.guarded && !credentials.can_be_sent_on() => {
                Err(ApiError::new(
                    Code::Unauthenticated,
                    StatusCode::UNAUTHORIZED,
                    CERTIFICATE_ALONE,
                ))
            }
            Some(route) => Ok(Reach::new(shard, route, credentials.clone())),
            None => Err(moving(shard)),
        }
    }
}

/// Until when a call that comes now may wait for its shard.
fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// Nobody has the shard, or whoever has is not known here yet.
fn moving(shard: ShardId) -> ApiError {
    let mut error = ApiError::unavailable(format!(
        "shard {shard} is moving to another replica; try again in a moment"
    ));
    error.retry_after = Some(Duration::from_secs(1));
    error
}

/// Who calls, for the shard that the call is sent on to.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    caller: Caller,
    /// What the caller has shown, for another replica to check again.
    authorization: Option<HeaderValue>,
    /// For which shard another replica has sent the call on.
    forwarded: Option<ShardId>,
    /// The trace that the call is part of, in the headers of W3C.
    trace: [Option<HeaderValue>; TRACE_HEADERS.len()],
}

impl Credentials {
    fn of<B>(request: &Request<B>) -> Result<Self, ApiError> {
        Self::shown(request.extensions(), request.headers())
    }

    fn shown(extensions: &Extensions, headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self {
            caller: Caller::of(extensions)?,
            authorization: headers.get(header::AUTHORIZATION).cloned(),
            forwarded: forwarded(headers),
            trace: TRACE_HEADERS.map(|name| headers.get(name).cloned()),
        })
    }

    /// Whether another replica would know the caller too.
    fn can_be_sent_on(&self) -> bool {
        self.authorization.is_some()
    }

    /// Those of a call of gRPC, if the gate has let it pass.
    pub(crate) fn of_call<T>(request: &tonic::Request<T>) -> Option<Self> {
        let headers = request.metadata().clone().into_headers();
        Self::shown(request.extensions(), &headers).ok()
    }
}

/// The credentials of a request over HTTP, if the gate has let it pass.
#[derive(Debug)]
pub(crate) struct Shown(pub(crate) Option<Credentials>);

impl<S: Sync> FromRequestParts<S> for Shown {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(
            Credentials::shown(&parts.extensions, &parts.headers).ok(),
        ))
    }
}

fn forwarded(headers: &HeaderMap) -> Option<ShardId> {
    let number = headers.get(FORWARDED)?.to_str().ok()?.parse();
    number.ok().map(ShardId)
}

/// What a replica answers by itself.
pub(crate) fn pages(front: Front) -> Router {
    Router::new()
        .route("/", get(console::page))
        .route("/healthz", get(pages::healthz))
        .route("/readyz", get(pages::readyz))
        .route("/metrics", get(pages::metrics))
        .route("/openapi.json", get(http::openapi))
        .with_state(front)
}

/// What goes to the shards that it is about.
pub(crate) fn calls(front: Front) -> Router {
    Router::new().fallback(called).with_state(front)
}

async fn called(State(front): State<Front>, request: axum::extract::Request) -> Response {
    dispatch::dispatch(front, request).await
}
