//! How each shard is reached.

use std::{sync::Arc, time::Duration};

use axum::Router;
use foreshadow_engine::EngineHandle;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

use super::places::{PeerTls, Place};

/// How long another replica may take to take a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection to another replica that does not answer a ping for this long is closed.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// The way to one shard.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// Its services are here.
    Here(Arc<Room>),
    /// Another replica has it.
    There { address: String, channel: Channel },
    /// Nobody has it.
    Nowhere,
    /// Nobody has it, and here it hangs.
    Stuck,
}

/// The services of a shard that this replica has.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) engine: EngineHandle,
    pub(crate) router: Router,
    epoch: u64,
    /// Ends its streams when the shard goes.
    _streams: DropGuard,
}

impl Route {
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::Nowhere | Self::Stuck)
    }

    pub(crate) fn engine(&self) -> Option<&EngineHandle> {
        match self {
            Self::Here(room) => Some(&room.engine),
            Self::There { .. } | Self::Nowhere | Self::Stuck => None,
        }
    }

    fn leads_to(&self, place: &Place) -> bool {
        match (self, place) {
            (Self::Here(room), Place::Here { epoch, .. }) => room.epoch == *epoch,
            (Self::There { address, .. }, Place::There(other)) => address == other,
            (Self::Nowhere, Place::Nowhere) | (Self::Stuck, Place::Stuck) => true,
            (Self::Here(_) | Self::There { .. } | Self::Nowhere | Self::Stuck, _) => false,
        }
    }
}

/// Keeps the routes true to the places, until nobody tells of places any more.
pub(crate) async fn follow(
    mut places: watch::Receiver<Arc<Vec<Place>>>,
    tls: Option<PeerTls>,
    open: impl Fn(&EngineHandle, CancellationToken) -> Router,
    routes: watch::Sender<Arc<Vec<Route>>>,
) {
    loop {
        let present = places.borrow_and_update().clone();
        let known = routes.borrow().clone();
        let next = present.iter().enumerate().map(|(shard, place)| {
            let same = known.get(shard).filter(|route| route.leads_to(place));
            same.cloned()
                .unwrap_or_else(|| way_to(place, tls.as_ref(), &open))
        });
        routes.send_replace(Arc::new(next.collect()));
        if places.changed().await.is_err() {
            return;
        }
    }
}

fn way_to(
    place: &Place,
    tls: Option<&PeerTls>,
    open: &impl Fn(&EngineHandle, CancellationToken) -> Router,
) -> Route {
    match place {
        Place::Here { engine, epoch } => {
            let stopping = CancellationToken::new();
            Route::Here(Arc::new(Room {
                engine: engine.clone(),
                router: open(engine, stopping.clone()),
                epoch: *epoch,
                _streams: stopping.drop_guard(),
            }))
        }
        Place::There(address) => match channel(address, tls) {
            Ok(channel) => Route::There {
                address: address.clone(),
                channel,
            },
            Err(error) => {
                tracing::error!(address, %error, "a replica cannot be reached");
                Route::Nowhere
            }
        },
        Place::Nowhere => Route::Nowhere,
        Place::Stuck => Route::Stuck,
    }
}

/// It connects with the first call.
fn channel(address: &str, tls: Option<&PeerTls>) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(false)
        .tcp_nodelay(true);
    let endpoint = match tls {
        Some(tls) if address.starts_with("https:") => endpoint.tls_config(tls.0.clone())?,
        Some(_) | None => endpoint,
    };
    Ok(endpoint.connect_lazy())
}
